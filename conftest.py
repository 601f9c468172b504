# At the root, so that `pytest --nbval notebooks/03*.ipynb` finds these settings too.
import os
import random
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch

ROOT = Path(__file__).parent


def pytest_configure(config: pytest.Config) -> None:
    """Set what `pytest --nbval` needs, so that no further option has to be typed."""
    matplotlib.use("Agg")  # tests open no window
    if hasattr(config, "workerinput"):  # one of several processes, as in `make test`
        os.environ.setdefault("OMP_NUM_THREADS", "1")  # kernels and commands inherit it
        torch.set_num_threads(1)
    option = config.option
    if not getattr(option, "nbval", False) and not getattr(option, "nbval_lax", False):
        return
    os.environ.pop("MPLBACKEND", None)  # kernels inherit it and would draw no inline figure
    if option.nbval_kernel_name is None:
        option.nbval_current_env = True  # run this Python, not the kernel that the notebook names
    if option.nbval_sanitize_with is None:
        option.nbval_sanitize_with = str(ROOT / "tests" / "nbval_sanitize.cfg")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the notebooks, which take longest in one process; short files fill up the rest."""
    items.sort(key=lambda item: item.path.suffix != ".ipynb")


@pytest.fixture(autouse=True)
def seeds() -> None:
    """Start every test and docstring example from the same random numbers."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of conformance data that is too large for the repository, or skip."""
    folder = Path(os.environ.get("LTM_EDU_SHARED") or ROOT.parent / "shared")
    if not (folder / "vectors").is_dir():
        pytest.skip("no conformance data: set LTM_EDU_SHARED to the folder that holds vectors/")
    return folder.resolve()
