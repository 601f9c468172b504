"""The course as a student sees it: JupyterLab and the book in headless Chromium.

`make test-browser` runs these tests; a plain `pytest` does not. They write to screenshots/.
"""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from browser import (
    SCREENSHOTS,
    WAIT_SECONDS,
    WINDOW,
    driver,  # noqa: F401
    expect_gone,
    family,
    stopped_is_interrupted,  # noqa: F401
)
from selenium import webdriver
from selenium.common.exceptions import TimeoutException
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select, WebDriverWait

from ltm_edu.datasets.emoji5i import generate
from tools import book

pytestmark = pytest.mark.browser

ROOT = Path(__file__).resolve().parent.parent
RUN_SECONDS = 240  # a notebook, on two busy cores


# Moves of a user ---------------------------------------------------------------------------------


def choose(text: str) -> Callable[[WebElement], None]:
    """Choose an entry of the first menu."""
    return lambda widget: Select(widget.find_element(By.TAG_NAME, "select")).select_by_visible_text(
        text
    )


def press(key: str) -> Callable[[WebElement], None]:
    """Press a key on the first picture."""
    return lambda widget: widget.find_element(By.CSS_SELECTOR, "canvas[tabindex]").send_keys(key)


def point(y: float, x: float, picture: int = 0) -> Callable[[WebElement], None]:
    """Move the mouse over a picture: shares of its height and width."""
    return lambda widget: hand(widget, picture, y, x).perform()


def drag(y: float, x: float, to: tuple[float, float]) -> Callable[[WebElement], None]:
    """Drag over the first picture: shares of its height and width."""

    def move(widget: WebElement) -> None:
        size = widget.find_element(By.CSS_SELECTOR, ".ltm-picture canvas").size
        down, right = (to[0] - y) * size["height"], (to[1] - x) * size["width"]
        steps = hand(widget, 0, y, x).click_and_hold()
        steps.move_by_offset(round(right), round(down)).release().perform()

    return move


def hand(widget: WebElement, picture: int, y: float, x: float) -> ActionChains:
    """A hand over a picture of the widget."""
    canvas = widget.find_elements(By.CSS_SELECTOR, ".ltm-picture canvas")[picture]
    right, down = (x - 0.5) * canvas.size["width"], (y - 0.5) * canvas.size["height"]
    chain = ActionChains(widget.parent, duration=20)
    return chain.move_to_element_with_offset(canvas, round(right), round(down))


def click(title: str) -> Callable[[WebElement], None]:
    """Click the button with this title on it, or with this title when the mouse rests on it."""
    path = f'.//button[normalize-space()="{title}" or @title="{title}"]'
    return lambda widget: widget.find_element(By.XPATH, path).click()


MOVES = {  # of the first widget of each notebook; each move must change its pictures
    "00": [choose("cat 1"), choose("cow (none in the query)"), choose("bus 2")],
    "03": [press(Keys.ARROW_RIGHT), point(0.8, 0.2), point(0.3, 0.6, picture=1)],
    "04": [click("nothing"), drag(0.1, 0.5, to=(0.2, 0.8)), click("the monitor"), click("undo")],
}


# Starting and stopping ---------------------------------------------------------------------------


class Lab(NamedTuple):
    """A running JupyterLab."""

    notebooks: Path  # its copy of the course
    address: str
    token: str


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """JupyterLab on a copy of the notebooks, with its own settings and data."""
    home = tmp_path_factory.mktemp("lab")
    ignore = shutil.ignore_patterns(".*")
    shutil.copytree(ROOT / "notebooks", home / "course" / "notebooks", ignore=ignore)
    settings = {
        # All cells are in the page, so that a test can examine all of them.
        "notebook-extension/tracker": {"windowingMode": "none"},
        "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    }
    for name, values in settings.items():
        path = home / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values), encoding="utf-8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = os.urandom(16).hex()
    env = {k: v for k, v in os.environ.items() if k != "MPLBACKEND"}
    env |= {
        "JUPYTER_TOKEN": token,  # everybody could read it on the command line
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
        **{f"JUPYTER_{d.upper()}_DIR": str(home / d) for d in ("config", "data", "runtime")},
        "IPYTHONDIR": str(home / "ipython"),
        "LTM_EDU_DATA": str(home / "ltm_edu_data"),
    }
    env.setdefault("OMP_NUM_THREADS", "1")  # leaves a core to the browser
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
    command += [f"--ServerApp.root_dir={home / 'course'}", f"--ServerApp.port={port}"]
    command += ["--ServerApp.port_retries=0", "--LabApp.expose_app_in_browser=True"]
    log = home / "lab.log"
    with log.open("wb") as stream:
        streams = {"stdin": subprocess.DEVNULL, "stdout": stream, "stderr": subprocess.STDOUT}
        server = subprocess.Popen(command, env=env, **streams)
    try:
        miniature = home / "ltm_edu_data" / "emoji5i"
        if (ROOT / "data" / "emoji5i").is_dir():
            shutil.copytree(ROOT / "data" / "emoji5i", miniature)
        generate(miniature, progress=False)  # keeps the copy if it is up to date
        address = f"http://127.0.0.1:{port}/lab"
        deadline = time.monotonic() + 2 * WAIT_SECONDS
        while not answers(f"{address}?token={token}"):
            if server.poll() is not None or time.monotonic() > deadline:
                text = log.read_text(encoding="utf-8", errors="replace")
                pytest.fail(f"JupyterLab does not start; its log ends with:\n{text[-2000:]}")
            time.sleep(0.5)
        yield Lab(home / "course" / "notebooks", address, token)
    finally:
        if server.poll() is None:
            processes = family(server.pid)
            server.terminate()  # stops the kernels first
            expect_gone(processes)


def answers(address: str) -> bool:
    try:
        with urlopen(address, timeout=5) as reply:
            return reply.status == 200
    except (URLError, OSError):
        return False


# A notebook in JupyterLab ------------------------------------------------------------------------

PANEL = "const app = window.jupyterapp, panel = app && app.shell.currentWidget;"
OPEN = PANEL + "return Boolean(panel && panel.context && panel.context.path === arguments[0]);"
# Clears all outputs first: a saved output must not count as a result. The command ends at the first
# error, even where a cell is tagged raises-exception, but the kernel continues; so this script does
# not wait for the command.
RUN_ALL = (
    PANEL
    + """const done = arguments[arguments.length - 1];
(async () => {
  await panel.context.ready;
  await panel.sessionContext.ready;
  await app.commands.execute('notebook:clear-all-cell-outputs');
  app.commands.execute('notebook:run-all-cells');
})().then(() => done(''), error => done(String(error)));"""
)
# Says what still runs: '' when all cells have run, or when one without the tag has failed.
UNFINISHED = (
    PANEL
    + """const cells = panel.content.widgets.filter(w => w.model.type === 'code');
const stopped = cells.some(w => !(w.model.sharedModel.getMetadata('tags') || [])
  .includes('raises-exception') && w.model.outputs.toJSON().some(o => o.output_type === 'error'));
const remaining = stopped ? []
  : cells.flatMap((w, i) => w.model.executionCount === null ? [i] : []);
const status = panel.sessionContext.session?.kernel?.status;
return status === 'idle' && !remaining.length ? ''
  : `kernel ${status}, not run: [${remaining}]`;"""
)
SHUT_DOWN = (
    PANEL
    + """const done = arguments[arguments.length - 1];
panel.sessionContext.shutdown().then(() => done(''), error => done(String(error)));"""
)
CELLS = (
    PANEL
    + """return panel.content.widgets.filter(w => w.model.type === 'code').map(w => ({
  tags: w.model.sharedModel.getMetadata('tags') || [],
  count: w.model.executionCount,
  outputs: w.model.outputs.toJSON(),
}));"""
)
REPLACE_AND_RUN = (
    PANEL
    + """const done = arguments[arguments.length - 1], [text, source] = arguments;
const i = panel.content.widgets.findIndex(w => w.model.sharedModel.getSource().includes(text));
panel.content.activeCellIndex = i;
panel.content.widgets[i].model.sharedModel.setSource(source);
app.commands.execute('notebook:run-cell').then(
  () => done(panel.content.widgets[i].model.outputs.toJSON()), error => done(String(error)));"""
)
MATHS = (
    PANEL
    + r"""const texts = panel.content.widgets.filter(w => w.model.type === 'markdown');
return {
  written: texts.map(w => w.model.sharedModel.getSource().match(/\$\$[^]+?\$\$/g) || [])
    .reduce((n, formulas) => n + formulas.length, 0),
  set: panel.node.querySelectorAll('mjx-container[display="true"]').length,
  inline: panel.node.querySelectorAll('mjx-container:not([display="true"])').length,
  wrong: panel.node.querySelectorAll('mjx-merror, [data-mjx-error]').length,
  raw: texts.filter(w => w.node.querySelector('.jp-RenderedMarkdown').innerText.includes('$$'))
    .length,
};"""
)


@dataclass
class Opened:
    """A notebook in JupyterLab; all its cells have run."""

    number: str
    path: Path
    driver: webdriver.Chrome

    def cells(self) -> list[dict]:
        return self.driver.execute_script(CELLS)

    def widget(self) -> WebElement:
        """Scroll the first widget into view and return it."""
        css = ".jp-OutputArea-output :is(.jupyter-widgets, .ltm-touched)"
        widget = WebDriverWait(self.driver, WAIT_SECONDS).until(
            lambda d: d.find_elements(By.CSS_SELECTOR, css),
            f"notebook {self.number} shows no widget",
        )[0]
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", widget)
        return widget

    def screenshot(self, name: str) -> None:
        SCREENSHOTS.mkdir(exist_ok=True)
        self.driver.save_screenshot(str(SCREENSHOTS / f"{self.number}_{name}.png"))


PIXELS = """const pictures = [...arguments[0].querySelectorAll('img, canvas')];
if (pictures.some(p => p.tagName === 'IMG' && !(p.complete && p.naturalWidth))) return [];
return pictures.map(picture => {
  const copy = document.createElement('canvas');
  copy.width = picture.naturalWidth || picture.width;
  copy.height = picture.naturalHeight || picture.height;
  copy.getContext('2d').drawImage(picture, 0, 0);
  return copy.toDataURL();
});"""


def pictures(widget: WebElement) -> list[str]:
    """Return the pixels of a widget's pictures, without what covers them; [] while they load."""
    return widget.parent.execute_script(PIXELS, widget)


@pytest.fixture(scope="class", params=sorted(MOVES))
def opened(request: pytest.FixtureRequest, driver: webdriver.Chrome, lab: Lab) -> Iterator[Opened]:
    """A notebook that all tests of the class share; it runs once."""
    with open_and_run(request.param, driver, lab) as notebook:
        yield notebook


@contextlib.contextmanager
def open_and_run(number: str, driver: webdriver.Chrome, lab: Lab) -> Iterator[Opened]:
    """Open a notebook in JupyterLab and run all its cells; its kernel ends with the block."""
    path = next(lab.notebooks.glob(f"{number}*.ipynb"), None)
    if path is None:
        pytest.skip(f"there is no notebook {number}")
    # In a new workspace no other notebook has a tab.
    workspace = f"workspaces/{os.urandom(4).hex()}/tree/notebooks/{path.name}"
    driver.get(f"{lab.address}/{workspace}?token={lab.token}")
    where = f"notebooks/{path.name}"
    wait = WebDriverWait(driver, WAIT_SECONDS, 0.5)
    wait.until(lambda d: d.execute_script(OPEN, where), f"JupyterLab does not open {where}")
    try:
        assert driver.execute_async_script(RUN_ALL) == ""
        try:
            run = WebDriverWait(driver, RUN_SECONDS, 0.5)
            run.until(lambda d: d.execute_script(UNFINISHED) == "")
        except TimeoutException:
            pytest.fail(f"{where} does not finish: {driver.execute_script(UNFINISHED)}")
        yield Opened(number, path, driver)
    finally:
        assert driver.execute_async_script(SHUT_DOWN) == ""


# Measures the seconds from the first event of a move to its last picture.
START_CLOCK = """const clock = window.clock = {moved: null, shown: null}, box = arguments[0];
for (const kind of ['click', 'change', 'keydown', 'pointermove'])
  box.addEventListener(kind, () => { clock.moved ??= performance.now(); }, {capture: true});
const shown = () => { clock.shown = performance.now(); };
box.addEventListener('load', shown, {capture: true});
const readout = box.querySelector('.ltm-readout');  // of a figure that the page draws
if (readout) new MutationObserver(shown).observe(readout, {childList: true});"""
READ_CLOCK = "return (window.clock.shown - window.clock.moved) / 1000"
# Says where the pictures lie, and which texts and pictures are not in full view.
LAYOUT = """const box = arguments[0].getBoundingClientRect();
const pictures = [...arguments[0].querySelectorAll('img, canvas')];
const texts = [...arguments[0].querySelectorAll('button, .widget-label, .widget-readout')];
const area = arguments[0].closest('.jp-OutputArea-output').getBoundingClientRect();
return {
  places: pictures.map(p => p.getBoundingClientRect())
    .map(r => [Math.round(r.left - box.left), Math.round(r.top - box.top)]),
  height: Math.round(box.height),
  cut: texts.filter(t => t.scrollWidth > t.clientWidth + 1).map(t => t.innerText),
  outside: pictures.filter(p => p.getBoundingClientRect().right > area.right + 1).length,
  distorted: pictures.filter(p => { const r = p.getBoundingClientRect();
    return Math.abs(r.width / r.height / (p.naturalWidth / p.naturalHeight) - 1) > 0.03; }).length,
};"""


def layout(widget: WebElement) -> dict:
    """Return where the pictures lie; all texts and pictures must be in full view."""
    places = widget.parent.execute_script(LAYOUT, widget)
    assert places.pop("cut") == []
    assert (places.pop("outside"), places.pop("distorted")) == (0, 0)
    return places


class TestANotebookInJupyterLab:
    def test_all_cells_run_and_only_tagged_cells_show_errors(self, opened):
        cells = opened.cells()
        assert [c["count"] for c in cells] == list(range(1, len(cells) + 1))
        for i, cell in enumerate(cells):
            errors = [o for o in cell["outputs"] if o["output_type"] == "error"]
            assert bool(errors) == ("raises-exception" in cell["tags"]), f"code cell {i}: {errors}"
            assert not [o for o in cell["outputs"] if o.get("name") == "stderr"], f"code cell {i}"
        opened.screenshot("end")

    def test_all_formulas_are_typeset(self, opened):
        wait = WebDriverWait(opened.driver, WAIT_SECONDS, 0.5)
        wait.until(
            lambda d: (m := d.execute_script(MATHS))["set"] == m["written"],
            "some are not typeset",
        )
        maths = opened.driver.execute_script(MATHS)
        assert maths["set"] > 0
        assert maths["inline"] > 0
        assert (maths["wrong"], maths["raw"]) == (0, 0)
        first = opened.driver.find_element(By.CSS_SELECTOR, 'mjx-container[display="true"]')
        assert first.size["height"] > 10
        opened.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", first)
        opened.screenshot("maths")

    def test_a_move_of_the_widget_changes_its_pictures_and_not_its_layout(self, opened):
        wait = WebDriverWait(opened.driver, WAIT_SECONDS, 0.1)
        widget = opened.widget()
        before = wait.until(lambda _: pictures(widget), "the widget shows no picture")
        places, seconds = layout(widget), []
        opened.screenshot("widget_0")
        for i, move in enumerate(MOVES[opened.number], 1):
            opened.driver.execute_script(START_CLOCK, widget)
            move(widget)
            wait.until(
                lambda _, was=before: pictures(widget) not in ([], was), f"move {i} changed nothing"
            )
            wait.until(lambda d: d.execute_script(UNFINISHED) == "", f"move {i} does not end")
            before = wait.until(lambda _: pictures(widget))
            seconds.append(opened.driver.execute_script(READ_CLOCK))
            assert layout(widget) == places
            opened.screenshot(f"widget_{i}")
        print(f"notebook {opened.number}: seconds until the pictures changed:", seconds)

    def test_a_trained_network_answers_a_painted_mask_from_the_kernel(self, opened):
        if opened.number != "04":
            pytest.skip("only notebook 04 has a mask to paint")
        wait = WebDriverWait(opened.driver, WAIT_SECONDS, 0.1)
        widget = opened.widget()

        def answered() -> str:
            readout = widget.find_element(By.CSS_SELECTOR, ".ltm-readout").text
            return readout.partition("trained network: ")[2]

        scores = set()
        for title in ("the bus", "the person", "the bus"):
            click(title)(widget)
            wait.until(lambda _: not answered(), "the last answer is not marked as old")
            scores.add(wait.until(lambda _: answered(), "the kernel does not answer"))
            opened.screenshot("widget_answered")
        assert len(scores) == 2

    def test_the_widget_fits_a_small_screen(self, opened):
        try:
            opened.driver.set_window_size(1366, 768)
            widget = opened.widget()
            opened.screenshot("widget_small_screen")
            layout(widget)
        finally:
            opened.driver.set_window_size(*WINDOW)


def loaded(image: WebElement) -> bool:
    return image.get_property("complete") and image.get_property("naturalWidth") > 0


# A student's walk --------------------------------------------------------------------------------

FORGETS_VOID = """def iou(predicted, truth):
    both = predicted & (truth == 1)
    return (both.sum() / (predicted | (truth == 1)).sum()).item()


check("0.1", iou)"""
RIGHT = """def iou(predicted, truth):
    counts = truth != 255
    either = ((predicted | (truth == 1)) & counts).sum()
    both = (predicted & (truth == 1) & counts).sum()
    return (both / either).item() if either > 0 else 1.0


check("0.1", iou)"""


def test_a_student_reads_what_is_wrong_and_then_that_the_answer_is_right(driver, lab):
    with open_and_run("00", driver, lab) as walk:

        def printed(text: str, source: str) -> str:
            outputs = driver.execute_async_script(REPLACE_AND_RUN, text, source)
            return "".join("".join(o["text"]) for o in outputs)

        def see(text: str, name: str) -> None:
            (output,) = driver.find_elements(By.XPATH, f"//pre[contains(., '{text}')]")
            driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", output)
            walk.screenshot(name)

        (stub,) = [c for c in walk.cells() if "0.1 not attempted" in json.dumps(c["outputs"])]
        assert 'hint(\\"0.1\\") helps' in json.dumps(stub["outputs"])
        see("0.1 not attempted", "exercise_stub")
        wrong = printed('check("0.1"', FORGETS_VOID)
        assert wrong.startswith("0.1 wrong: 255 is counted as background.")
        assert "your result    right result" in wrong  # the failing case, no traceback
        assert "Traceback" not in wrong
        see("0.1 wrong", "exercise_wrong")
        assert printed('check("0.1"', RIGHT) == "0.1 ok: IoU without the pixels labelled 255\n"
        see("0.1 ok", "exercise_ok")
        progress = printed("progress()", "progress()")
        assert progress.startswith("solved 1 of ")
        assert "[x] 0.1 " in progress
        see("solved 1 of", "progress")


# The book ----------------------------------------------------------------------------------------

SIZES = {"laptop": (1366, 768), "phone": (390, 844)}
PAGES = (
    "index.html",
    "README.html",
    "references.html",
    "notebooks/glossary.html",
    "notebooks/03_the_relationship_matrix.html",
    "notebooks/04_a_mask_that_has_no_inverse.html",
    "notebooks/09_pascal5i_on_a_gpu.html",
    "api/equations.html",
)
TYPESET = """const done = arguments[arguments.length - 1];
(async () => {
  if (document.readyState !== 'complete') await new Promise(r => addEventListener('load', r));
  await window.MathJax?.startup?.promise;
  await Promise.all([...document.images].map(i => i.decode().catch(() => 0)));
  return {
    formulas: document.querySelectorAll('.math').length,
    typeset: document.querySelectorAll('.math > mjx-container').length,
    wrong: document.querySelectorAll('mjx-merror, [data-mjx-error], [data-mml-node=merror]').length
      + [...document.querySelectorAll('.math [fill=red]')].length,
    empty: [...document.querySelectorAll('img:not(.ltm-figure img)')]
      .filter(i => !i.naturalWidth || !i.alt).map(i => i.src),
    outside: performance.getEntriesByType('resource').map(e => e.name)
      .filter(name => !/^(file|data|blob):/.test(name)),
    sideways: document.documentElement.scrollWidth - innerWidth,
  };
})().then(done, error => done(String(error)));"""
# What sticks out of the screen without standing in something that scrolls.
CUT_OFF = """const scrolls = e => e && e !== document.documentElement
  && (/auto|scroll/.test(getComputedStyle(e).overflowX) || scrolls(e.parentElement));
return [...document.querySelectorAll('article *')].filter(e => e.checkVisibility()
  && e.getClientRects().length && e.getBoundingClientRect().right > innerWidth + 1 && !scrolls(e)
  && !e.closest('mjx-assistive-mml, .ltm-figure, svg')).map(e => e.outerHTML.slice(0, 200));"""
# Texts whose colour has too little contrast with what is behind them (WCAG AA), each colour once.
PALE = """const numbers = c => c.match(/[\\d.]+/g).map(Number);
const light = c => c.slice(0, 3).map(v => v / 255)
  .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
  .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
const behind = e => {
  for (; e; e = e.parentElement) {
    const c = numbers(getComputedStyle(e).backgroundColor);
    if (c.length === 3 || c[3] === 1) return c;
  }
  return [255, 255, 255];
};
const pale = {};
const walk = document.createTreeWalker(document.querySelector('article'), NodeFilter.SHOW_TEXT);
while (walk.nextNode()) {
  const e = walk.currentNode.parentElement, style = getComputedStyle(e);
  const shown = e.checkVisibility({visibilityProperty: true, opacityProperty: true});
  if (!shown || !walk.currentNode.data.trim()
      || e.closest('mjx-container, script, .ltm-figure, .headerlink, .copybtn')) continue;
  const size = parseFloat(style.fontSize);
  const large = size >= 24 || size >= 18.66 && style.fontWeight >= 700;
  const [a, b] = [light(numbers(style.color)), light(behind(e))].sort((x, y) => y - x);
  const ratio = (a + 0.05) / (b + 0.05);
  const name = `${style.color} on ${behind(e)}: ${ratio.toFixed(2)} ${e.className}`;
  if (ratio < (large ? 3 : 4.5)) pale[name] = e.textContent.slice(0, 60);
}
return pale;"""


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The course as a book."""
    out = tmp_path_factory.mktemp("book") / "book"
    book.build(ROOT, out)
    return out


@contextlib.contextmanager
def reader(driver: webdriver.Chrome, size: str, mode: str = "light") -> Iterator[WebDriverWait]:
    """A reader without a network, with a screen of this size."""
    width, height = SIZES[size]
    screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": size == "phone"}
    scheme = {"name": "prefers-color-scheme", "value": mode}
    offline = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
    online = {**offline, "offline": False, "downloadThroughput": -1, "uploadThroughput": -1}
    driver.execute_cdp_cmd("Network.enable", {})
    driver.execute_cdp_cmd("Network.emulateNetworkConditions", offline)
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    driver.get_log("browser")  # forgets what was said before
    try:
        yield WebDriverWait(driver, WAIT_SECONDS, 0.2)
        lines = [line["message"] for line in driver.get_log("browser") if line["level"] == "SEVERE"]
        assert [line for line in lines if line.startswith("file:")] == []
    finally:
        driver.execute_cdp_cmd("Network.emulateNetworkConditions", online)
        driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


@pytest.mark.parametrize("mode", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_the_book_is_whole_and_legible_without_a_network(driver, course, size, mode):
    SCREENSHOTS.mkdir(exist_ok=True)
    with reader(driver, size, mode):
        for page in PAGES:
            driver.get((course / page).as_uri())
            seen = driver.execute_async_script(TYPESET)
            assert seen["typeset"] == seen["formulas"], page
            assert seen["formulas"] > 0 or "notebooks" not in page, page
            assert (seen["wrong"], seen["empty"], seen["outside"]) == (0, [], []), page
            assert seen["sideways"] <= 1, page
            assert driver.execute_script(CUT_OFF) == [], page
            assert driver.execute_script(PALE) == {}, page
            name = page.rpartition("/")[2].removesuffix(".html")
            driver.save_screenshot(str(SCREENSHOTS / f"book_{name}_{size}_{mode}.png"))


def test_every_formula_of_the_course_is_typeset(driver, course):
    with reader(driver, "laptop"):
        for page in sorted(course.glob("notebooks/[0-9]*.html")):
            driver.get(page.as_uri())
            seen = driver.execute_async_script(TYPESET)
            assert seen["typeset"] == seen["formulas"] > 0, page.name
            assert seen["wrong"] == 0, page.name


@pytest.mark.parametrize("size", SIZES)
def test_the_search_of_the_book_finds_without_a_server(driver, course, size):
    with reader(driver, size) as wait:
        driver.get((course / "index.html").as_uri())
        keys = webdriver.ActionChains(driver)
        keys.key_down(Keys.CONTROL).send_keys("k").key_up(Keys.CONTROL).perform()
        field = "dialog[open] input[type=search]"
        wait.until(lambda d: d.find_elements(By.CSS_SELECTOR, field))
        webdriver.ActionChains(driver).send_keys("generalized inverse" + Keys.ENTER).perform()
        found = wait.until(lambda d: d.find_elements(By.CSS_SELECTOR, "ul.search li a"))
        wait.until(lambda d: "finished" in d.find_element(By.ID, "search-results").text)
        driver.save_screenshot(str(SCREENSHOTS / f"book_search_{size}.png"))
        found = driver.find_elements(By.CSS_SELECTOR, "ul.search li a")
        titles = [link.text for link in found]
        assert "04 · A mask that has no inverse" in titles
        assert "ltm_edu.equations.generalized_inverse" in titles
        found[titles.index("04 · A mask that has no inverse")].click()
        wait.until(lambda d: "/notebooks/04_" in d.current_url)


def test_a_figure_of_the_book_can_be_enlarged_on_a_phone_and_by_keyboard(driver, course):
    with reader(driver, "phone") as wait:
        driver.get((course / "notebooks/00_start_here.html").as_uri())
        driver.execute_async_script(TYPESET)
        button = driver.find_element(By.CSS_SELECTOR, ".cell_output button.enlarge")
        image = button.find_element(By.TAG_NAME, "img")
        driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", button)
        assert image.size["width"] < image.get_property("naturalWidth") / 2

        def opened() -> list[WebElement]:
            return driver.find_elements(By.CSS_SELECTOR, "dialog.enlarged[open]")

        button.click()
        (dialog,) = wait.until(lambda _: opened())
        large = dialog.find_element(By.TAG_NAME, "img")
        assert large.get_attribute("alt") == image.get_attribute("alt")
        width = large.size["width"]
        assert width == image.get_property("naturalWidth")
        dialog.find_element(By.CSS_SELECTOR, "[aria-label=Larger]").click()
        assert large.size["width"] > 1.4 * width
        pan = dialog.find_element(By.CSS_SELECTOR, ".pan")
        driver.execute_script("arguments[0].scrollTo(1e6, 0)", pan)
        assert pan.get_property("scrollLeft") > 1.4 * width - SIZES["phone"][0] - 50
        driver.save_screenshot(str(SCREENSHOTS / "book_enlarged_phone.png"))
        webdriver.ActionChains(driver).send_keys(Keys.ESCAPE).perform()
        wait.until(lambda _: not opened())
        assert driver.switch_to.active_element == button
        webdriver.ActionChains(driver).send_keys(Keys.ENTER).perform()
        (dialog,) = wait.until(lambda _: opened())
        dialog.find_element(By.CSS_SELECTOR, ".close").click()
        wait.until(lambda _: not opened())


@pytest.mark.parametrize("size", SIZES)
def test_the_interactive_figures_are_drawn_in_the_book(driver, course, size):
    with reader(driver, size) as wait:
        for number in ("01", "03", "04", "05"):
            (page,) = course.glob(f"notebooks/{number}_*.html")
            driver.get(page.as_uri())
            css = ".ltm-figure canvas, .ltm-figure button, .ltm-figure img"
            wait.until(lambda d, css=css: d.find_elements(By.CSS_SELECTOR, css), number)
            (figure,) = driver.find_elements(By.CSS_SELECTOR, ".ltm-figure")
            assert figure.size["width"] <= SIZES[size][0]
