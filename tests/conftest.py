import tarfile
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from helpers import CENTRED, write_voc

from ltm_edu.backbones import EfficientNetLite0
from ltm_edu.datasets.voc import MaskIndex, VocFolder
from ltm_edu.model import LTM
from ltm_edu.runs.checkpoint import TrainedOn, save_checkpoint
from ltm_edu.runs.settings import TrainingConfig
from ltm_edu.training import Fitted, fit


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Keep many small tensor operations from waiting for threads."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def own_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no test write to the checkout's data/."""
    monkeypatch.setenv("LTM_EDU_DATA", str(tmp_path / "ltm_edu_data"))


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> VocFolder:
    """A folder in VOC's layout that no test changes."""
    return VocFolder.open(write_voc(tmp_path_factory.mktemp("data") / "tiny"))


@pytest.fixture
def voc(tmp_path: Path) -> Path:
    """A folder in VOC's layout that a test may spoil."""
    return write_voc(tmp_path / "voc", train=3, val=3)


@pytest.fixture(scope="session")
def pascal(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> VocFolder:
    """VOC val: its list and its 1,449 masks, without the pictures."""
    source = shared / "voc_masks"
    root = tmp_path_factory.mktemp("pascal")
    for part in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (root / part).mkdir(parents=True)
    names = (source / "val.txt").read_text(encoding="utf-8")
    (root / "ImageSets/Segmentation/val.txt").write_text(names, encoding="utf-8")
    wanted = {f"{n}.png" for n in names.split()}
    with tarfile.open(source / "SegmentationClassAug.tar") as tar:
        for member in tar:
            name = Path(member.name).name
            if name in wanted:
                (root / "SegmentationClass" / name).write_bytes(tar.extractfile(member).read())
    return VocFolder.open(root)


@pytest.fixture(scope="session")
def pascal_val(pascal: VocFolder) -> MaskIndex:
    """VOC val's masks, counted once."""
    return pascal.index("val")


@pytest.fixture(scope="session")
def lite0() -> EfficientNetLite0:
    """The small model's backbone with its ImageNet weights."""
    return EfficientNetLite0()


class Trained(NamedTuple):
    """A model that has learnt the base classes of the tiny folder's fold 0, and how."""

    model: LTM
    fitted: Fitted
    log: Path
    checkpoint: Path


@pytest.fixture(scope="session")
def trained(
    tiny: VocFolder, lite0: EfficientNetLite0, tmp_path_factory: pytest.TempPathFactory
) -> Trained:
    """A small model after 40 steps; no test changes its weights."""
    folder = tmp_path_factory.mktemp("trained")
    torch.manual_seed(0)
    model = LTM.small(lite0, image_size=CENTRED, features=16, widths=(16, 8, 8))
    config = TrainingConfig(
        steps=40, batch=4, learning_rate=1e-2, held_out=2, checks=2, check_episodes=8
    )
    fitted = fit(model, tiny, 0, config, log=folder / "fold0.jsonl", progress=False)
    save_checkpoint(folder / "fold0.pt", model, TrainedOn("tiny", 0, fitted.base_classes))
    return Trained(model, fitted, folder / "fold0.jsonl", folder / "fold0.pt")
