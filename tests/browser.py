"""Headless Chromium for the browser tests: its fixture, its window and its folder of pictures."""

import contextlib
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

selenium = pytest.importorskip("selenium", reason='no selenium: pip install -e ".[browser]"')
psutil = pytest.importorskip("psutil")  # comes with ipykernel
from selenium import webdriver  # noqa: E402

SCREENSHOTS = Path(__file__).resolve().parent.parent / "screenshots"
WAIT_SECONDS = 90  # everything but the run of a notebook
WINDOW = (1400, 1100)


@pytest.fixture(scope="module", autouse=True)
def stopped_is_interrupted() -> Iterator[None]:
    """Treat SIGTERM like Ctrl-C: server and browser end together with the tests."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    yield
    signal.signal(signal.SIGTERM, before)


def family(pid: int) -> list[psutil.Process]:
    """Return a process and all its descendants; [] if it has ended."""
    try:
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def expect_gone(processes: list[psutil.Process]) -> None:
    """Wait until all processes have ended; kill those that run on, and fail."""
    _, running = psutil.wait_procs(processes, timeout=30)
    names = []
    for process in running:
        with contextlib.suppress(psutil.NoSuchProcess):
            names.append(process.name())
            process.kill()
    assert not names, f"these processes did not end: {names}"


@pytest.fixture(scope="module")
def driver() -> Iterator[webdriver.Chrome]:
    """Headless Chromium with the driver from the same distribution."""
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
    chromedriver = shutil.which("chromedriver")
    if not (browser and chromedriver):
        pytest.skip("no Chromium with its driver: apt install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for argument in ("headless=new", "disable-dev-shm-usage", "disable-background-networking"):
        options.add_argument(f"--{argument}")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        options.add_argument("--no-sandbox")  # root may not use the sandbox
    folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)  # for Chromium
    service = webdriver.ChromeService(chromedriver, env={**os.environ, "TMPDIR": folder.name})
    driver = webdriver.Chrome(options, service)
    try:
        driver.set_window_size(*WINDOW)
        driver.set_script_timeout(WAIT_SECONDS)
        driver.set_page_load_timeout(WAIT_SECONDS)
        yield driver
    finally:
        processes = family(driver.service.process.pid)
        driver.quit()
        expect_gone(processes)
        folder.cleanup()
