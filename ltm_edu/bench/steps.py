"""A training step with nothing kept, and ours; what it means for an epoch at paper size."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ..backbones import TimmBackbone
from ..datasets.voc import VocFolder
from ..episodes import draw_episodes, find_pairs
from ..features.batches import Batch, BatchTensors, load_batches
from ..features.cache import FeatureCache
from ..geometry import mask_to_grid
from ..model import LTM
from ..runs.recipes import RELEASED
from ..runs.settings import TrainingConfig
from ..training import Update
from .measuring import HERE, How, Row, compare, duration, operations
from .scoring import read_episode


def training_row(
    model: LTM,
    dataset: VocFolder,
    name: str = "small",
    repeats: int = 3,
    how: How = HERE,
    split: str = "train",
) -> Row:
    """The plain update reads and embeds its pictures each time; ours has their features.

    The plain one sends every picture through the backbone, at each of the model's query scales, in
    float32; ours is what `fit` does, its features on the device. The update's own work stays: the
    limit that follows, counted in floating-point operations, stands beside the measured ratio. The
    learning rates are 0, so the weights stay; all else is done.
    """
    pairs = find_pairs(dataset.index(split), range(1, len(dataset.classes) + 1))
    episodes = draw_episodes(pairs, 1, how.batch, 0)
    batch = Batch(
        [e.class_id for e in episodes],
        [e.query for e in episodes],
        [list(e.supports) for e in episodes],
        query_flips=[False] * how.batch,
        support_flips=[[False]] * how.batch,
    )
    model = model.to(how.device).train()
    half = how.dtype != torch.float32
    cache = FeatureCache(model, dataset, episodes.names(), progress=False, half=half)
    cache.to(torch.device(how.device))

    def update(dtype: torch.dtype, compiled: bool = False) -> Update:
        rates = {"learning_rate": 0.0, "embedding_rate": 0.0, "weight_decay": 0.0}
        precision = str(dtype).removeprefix("torch.")
        config = TrainingConfig(batch=how.batch, precision=precision, **rates)
        return Update(model, config, len(pairs), compiled)

    plain_update, our_update = update(torch.float32), update(how.dtype)

    def uncached() -> Tensor:
        side = model.config.image_size
        read = [read_episode(dataset, e, side)[:2] for e in episodes]
        pixels, labels = (torch.stack(x).transpose(0, 1) for x in zip(*read, strict=True))
        with torch.no_grad():
            F_s = model.backbone(pixels[0].to(how.device))
            F_q = model.query_features(pixels[1].to(how.device))
        G_s, G_q = (
            mask_to_grid((Y == 1).float()[:, None], F_s.shape[-2:], model.backbone.stride)
            for Y in labels
        )
        names = batch.queries, batch.supports
        read_now = BatchTensors(F_q, F_s[:, None], G_q, G_s[:, None], labels[1], *names)
        return torch.tensor(plain_update(read_now)["L"])

    def cached() -> Tensor:
        return torch.tensor(our_update(next(load_batches(cache, iter([batch]), 1)))["L"])

    plain_work, our_work = (operations(way) for way in (uncached, cached))
    if how.compiled:  # only now: a compiled graph's operations are not counted
        torch.compiler.reset()
        our_update = update(how.dtype, compiled=True)
    case = f"training step, {name}{how}"
    row = compare("training", case, (uncached, cached), repeats, how.device)
    epochs_a_minute = 60 / row.our_seconds / max(1, len(pairs) / how.batch)
    sizes = {
        "batch": how.batch,
        "pairs": len(pairs),
        "query_scales": list(model.config.query_scales),
        "arithmetic_allows": plain_work / our_work,
        "epochs_a_minute": epochs_a_minute,
        "operations": our_work,
        "operations_a_second": our_work / row.our_seconds,
        "trainable": model.trainable,
    }
    allowed = f"arithmetic allows {plain_work / our_work:.2f}"
    note = f"{allowed}; {epochs_a_minute:.2g} epochs a minute cached"
    return replace(row, sizes=sizes, note=note)


PAIRS = 6273  # of fold 0 in the released code's list: an epoch
EPOCH_SECONDS = 6.0  # of it that the project wants on one large GPU
H100_TFLOPS = 989  # bfloat16 without sparsity, from its data sheet


def epoch_row(row: Row, estimate: bool = True) -> Row:
    """A paper-size step's row with what it means for an epoch of 6,273 pairs.

    With `estimate` it also says which rate a GPU would need for an epoch in six seconds: the
    operations of an epoch are counted, the rate is only asked for.
    """
    steps = PAIRS / row.sizes["batch"]
    work, seconds = steps * row.sizes["operations"] / 1e12, steps * row.our_seconds
    rate = work / EPOCH_SECONDS
    sizes = {**row.sizes, "epoch_seconds": seconds, "epoch_teraflop": work}
    note = f"{row.note}; an epoch of {PAIRS:,} pairs: {duration(seconds)} here ({work:,.0f} TFLOP)"
    if estimate:
        note += (
            f"; estimate: {EPOCH_SECONDS:.0f} s take {rate:.0f} TFLOP/s, "
            f"{rate / H100_TFLOPS:.0%} of an H100's peak in bfloat16"
        )
    return replace(row, sizes=sizes, note=note)


def paper_model() -> LTM:
    """The paper's network, its query at three scales, with random weights: speed needs no other."""
    torch.manual_seed(0)
    backbone = TimmBackbone("resnet50.tv_in1k", pretrained=False)
    return LTM.paper(backbone, query_scales=RELEASED.model_config.query_scales)
