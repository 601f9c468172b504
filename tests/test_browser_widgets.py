"""The figures that are touched, as hands and eyes meet them: a page without a kernel in Chromium.

`make test-browser` runs these tests; a plain `pytest` does not. They write to screenshots/.
"""

import base64
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from browser import SCREENSHOTS, WAIT_SECONDS, WINDOW, driver, stopped_is_interrupted  # noqa: F401
from selenium import webdriver
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait
from touched import CELLS, SIDE, Sent, decoded, question

from ltm_edu import figures, widgets
from ltm_edu.equations import attention, generalized_inverse, normalize_attention

pytestmark = pytest.mark.browser

FOLDER = Path(widgets.__file__).parent
DESKTOP, PHONE = (1366, 768), (390, 844)
LAB_HEIGHT = 550  # CSS pixels that JupyterLab shows of an output at 1366 x 768
THRESHOLD = 0.7
SCORED = [k / 20 for k in range(21)]

PAGE = """<!DOCTYPE html>
<html lang="en" data-theme="{theme}">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>…</title><style>{css}</style>
<style>
body {{ margin: 0; padding: 0 16px; background: {back}; }}
main {{ max-width: 919px; }}
</style>
</head>
<body><main><div class="ltm-figure"></div><p style="height: 900px">Text.</p></main>
<script type="module">
{js}
window.front = {{ bytes, relation, generalizedInverse, attention, normalized, onImage, above, iou,
  innerBorder, cellOfPixel, render: draw }};
window.place = document.querySelector(".ltm-figure");
window.figure = {start};
document.title = "ready";
</script></body></html>"""


@pytest.fixture(scope="module")
def asked() -> dict[str, Any]:
    q = question()
    other = torch.zeros(CELLS, CELLS)
    other[9:12, 2:13] = 0.5
    return {**q, "masks": {"block": q["block"], "bar": other}}


@pytest.fixture(scope="module")
def states(asked, tmp_path_factory) -> dict[str, Sent]:
    """The state of each figure."""
    from helpers import write_voc

    from ltm_edu.datasets.voc import VocFolder

    tiny = VocFolder.open(write_voc(tmp_path_factory.mktemp("data") / "tiny"))
    pictures = asked["query"], asked["support"]
    A_hat = on_image(byte_answer(asked)[0])
    scores = [figures.iou((A_hat > t).numpy(), asked["truth"]) for t in SCORED]
    return {
        "relation": Sent(widgets.pick_pixel(*pictures, asked["R"], asked["mask"], start=(5, 4))),
        "inverse": Sent(
            widgets.paint_mask(
                *pictures[::-1], asked["R"], asked["masks"], asked["truth"], THRESHOLD
            )
        ),
        "threshold": Sent(
            widgets.threshold_slider(asked["query"], A_hat, asked["truth"], SCORED, scores)
        ),
        "folds": Sent(widgets.fold_browser(tiny, tiny.index("val"))),
    }


def byte_answer(asked, g: torch.Tensor | None = None) -> tuple[torch.Tensor, np.ndarray]:
    """A_hat and the answer to a mask, by the package, from R as the page has it."""
    R = Sent(widgets.pick_pixel(asked["query"], asked["support"], asked["R"])).relation()
    g = asked["block"] if g is None else g
    return figures.answer_of_mask(R, g, (SIDE, SIDE), THRESHOLD)


def on_image(A_hat: torch.Tensor) -> torch.Tensor:
    resize = torch.nn.functional.interpolate
    return resize(A_hat[None, None], (SIDE, SIDE), mode="bilinear", align_corners=True)[0, 0]


class Page:
    """A page with one figure."""

    def __init__(self, driver: webdriver.Chrome):
        self.driver = driver

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    @property
    def readout(self) -> str:
        return self.run("return document.querySelector('.ltm-readout').textContent")

    def wait(self, condition: Callable[[], Any], message: str = "") -> Any:
        return WebDriverWait(self.driver, 20, 0.03).until(lambda _: condition(), message)

    def says(self, words: str) -> None:
        self.wait(lambda: words in self.readout, f"{words!r} is not said: {self.readout!r}")

    def canvas(self, k: int) -> np.ndarray:
        """The pixels of the k-th picture, (H, W, 3) uint8."""
        script = "return document.querySelectorAll('.ltm-picture canvas')[arguments[0]].toDataURL()"
        return decoded(self.run(script, k).split(",")[1])

    def mask(self) -> np.ndarray:
        """The painted mask, (h, w)."""
        return np.array(self.run("return [...window.figure.g]")).reshape(CELLS, CELLS)

    def place(self, selector: str, y: float, x: float) -> tuple[float, float]:
        """Where a point of an element is in the window: shares of its height and width."""
        script = (
            "const part = document.querySelectorAll(arguments[0])[arguments[1]];"
            "const b = part.getBoundingClientRect(); return [b.left, b.top, b.width, b.height]"
        )
        name, _, k = selector.partition("#")
        left, top, width, height = self.run(script, name, int(k or 0))
        return left + x * width, top + y * height

    def cell(self, y: int, x: int, k: int = 0) -> tuple[float, float]:
        """The middle of a grid cell of the k-th picture."""
        return self.place(f".ltm-picture canvas#{k}", (16 * y + 0.5) / SIDE, (16 * x + 0.5) / SIDE)

    # A hand

    def mouse(self, kind: str, at: tuple[float, float], held: bool = False) -> None:
        event = {"type": kind, "x": at[0], "y": at[1], "button": "left" if held else "none"}
        event |= {"buttons": int(held and kind != "mouseReleased"), "clickCount": 1}
        self.driver.execute_cdp_cmd("Input.dispatchMouseEvent", event)

    def drag(self, *points: tuple[float, float], lift: bool = True) -> None:
        self.mouse("mouseMoved", points[0])
        self.mouse("mousePressed", points[0], held=True)
        for point in points[1:]:
            self.mouse("mouseMoved", point, held=True)
        if lift:
            self.mouse("mouseReleased", points[-1], held=True)

    def touch(self, *points: tuple[float, float]) -> None:
        def send(kind: str, *at: tuple[float, float]) -> None:
            spots = [{"x": x, "y": y} for x, y in at]
            event = {"type": kind, "touchPoints": spots}
            self.driver.execute_cdp_cmd("Input.dispatchTouchEvent", event)

        send("touchStart", points[0])
        for point in points[1:]:
            send("touchMove", point)
        send("touchEnd")

    def keys(self, *keys: str) -> None:
        webdriver.ActionChains(self.driver).send_keys(*keys).perform()

    def focus(self, selector: str, k: int = 0) -> None:
        self.run("document.querySelectorAll(arguments[0])[arguments[1]].focus()", selector, k)

    def press(self, title: str) -> None:
        path = f'//*[self::button or self::label][normalize-space()="{title}"]'
        self.driver.find_element("xpath", path).click()

    def screenshot(self, name: str) -> None:
        SCREENSHOTS.mkdir(exist_ok=True)
        self.driver.save_screenshot(str(SCREENSHOTS / f"touched_{name}.png"))


@pytest.fixture
def open_page(driver, states, tmp_path) -> Iterator[Callable[..., Page]]:
    """Open a page with the figure of a kind, at a size."""

    def opened(
        kind: str,
        size: tuple[int, int] = DESKTOP,
        theme: str = "light",
        start: str = "await mount(place, {state})",
    ) -> Page:
        metrics = {"width": size[0], "height": size[1], "mobile": size == PHONE}
        metrics["deviceScaleFactor"] = 2 if size == PHONE else 1
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        touch = {"enabled": size == PHONE}
        driver.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", touch)
        page = PAGE.format(
            theme=theme,
            back={"light": "#ffffff", "dark": "#14181e"}[theme],
            css=(FOLDER / "front.css").read_text(encoding="utf-8"),
            js=(FOLDER / "front.js").read_text(encoding="utf-8"),
            start=start.replace("{state}", json.dumps(states[kind].state)),
        )
        path = tmp_path / "page.html"
        path.write_text(page, encoding="utf-8")
        driver.get(path.as_uri())
        wait = WebDriverWait(driver, WAIT_SECONDS, 0.05)
        wait.until(lambda d: d.title == "ready", "the figure is not drawn")
        return Page(driver)

    yield opened
    driver.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": False})
    driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    driver.set_window_size(*WINDOW)


# The algebra of the page -------------------------------------------------------------------------


def masks_to_compare(asked) -> dict[str, torch.Tensor]:
    one = torch.zeros(CELLS, CELLS)
    one[14, 3] = 1
    soft = torch.rand(CELLS, CELLS, generator=torch.Generator().manual_seed(1))
    return {
        "empty": torch.zeros(CELLS, CELLS), "full": torch.ones(CELLS, CELLS), "soft": soft,
        "one cell": one, "one faint cell": 0.01 * one, **asked["masks"],
    }  # fmt: skip


def test_the_page_computes_what_the_equations_say(open_page, asked):
    page, R = open_page("inverse"), asked["R"]
    script = """const [R, g, size] = arguments;
const inverse = front.generalizedInverse(g), A = front.attention(R, inverse);
const A_hat = front.normalized(A), onImage = front.onImage(A_hat, [15, 15], size);
return [inverse, A, A_hat, onImage].map(values => [...values]);"""
    for title, g in masks_to_compare(asked).items():
        row = g[None, None].flatten(2).double()
        A = attention(R[None].double(), row)
        A_hat = normalize_attention(A)[0]
        expected = generalized_inverse(row)[0, :, 0], A[0], A_hat, on_image(A_hat.reshape(15, 15))
        got = page.run(script, R.flatten().tolist(), g.flatten().tolist(), [SIDE, SIDE])
        for values, right in zip(got, expected, strict=True):
            np.testing.assert_allclose(values, right.flatten(), rtol=1e-6, atol=1e-9, err_msg=title)


def test_the_page_counts_and_outlines_as_the_package_does(open_page, asked):
    page, truth = open_page("inverse"), asked["truth"].to(torch.uint8)
    answer = (torch.rand(SIDE, SIDE, generator=torch.Generator().manual_seed(2)) > 0.6).numpy()
    lists = answer.astype(int).flatten().tolist(), truth.flatten().tolist()
    got = page.run("return front.iou(...arguments)", *lists)
    assert got == pytest.approx(figures.iou(answer, truth), abs=1e-12)
    empty = [[0] * 9] * 2
    assert page.run("return front.iou(...arguments)", *empty) == 1
    border = "return [...front.innerBorder(Uint8Array.from(arguments[0]), [225, 225], 2)]"
    object_ = (truth == 1).int()
    got = page.run(border, object_.flatten().tolist())
    np.testing.assert_array_equal(got, figures.outline(object_).flatten())
    for size, cells in ((225, 15), (321, 21), (224, 14), (15, 15)):
        got = page.run("return front.cellOfPixel(...arguments)", size, cells)
        assert got == figures.cell_of_pixel(size, cells).tolist()


# What is seen at the start -----------------------------------------------------------------------


def alike(seen: np.ndarray, expected: np.ndarray) -> None:
    """Compare pictures: a rounded pixel may differ by one step of 255."""
    assert np.abs(seen.astype(int) - expected).max() <= 1


def test_the_page_draws_what_the_figures_draw(open_page, asked, states):
    page = open_page("inverse")
    A_hat, answer = byte_answer(asked)
    alike(page.canvas(1), figures.attention_pixels(asked["block"], (SIDE, SIDE)))
    alike(page.canvas(2), figures.attention_pixels(A_hat, (SIDE, SIDE)))
    alike(page.canvas(3), figures.tinted(asked["query"], answer))
    cells = figures.cell_of_pixel(SIDE, CELLS)
    inside = np.diff(cells, prepend=0) == 0  # the page draws lines between the cells
    painted = figures.painted(asked["support"], asked["block"])
    alike(page.canvas(0)[inside][:, inside], painted[inside][:, inside])

    page = open_page("relation")
    row = states["relation"].relation()[5 * CELLS + 4].reshape(CELLS, CELLS)
    alike(page.canvas(0), figures.as_uint8(asked["query"]))
    alike(page.canvas(1), figures.relation_overlay(asked["support"], row, asked["mask"]))

    page = open_page("threshold")
    alike(page.canvas(0), figures.cut(asked["query"], on_image(A_hat), 0.6, asked["truth"]))


LAYOUT = """const figure = document.querySelector('.ltm-touched');
const box = figure.getBoundingClientRect(), page = document.documentElement;
const parts = [...figure.querySelectorAll('canvas, svg, img, button, label, figcaption, p')]
  .filter(p => !p.classList.contains('ltm-hidden'));
return {
  height: box.height, wide: page.scrollWidth - page.clientWidth,
  outside: parts.filter(p => { const r = p.getBoundingClientRect();
    return r.left < box.left - 1 || r.right > box.right + 1; }).map(p => p.outerHTML.slice(0, 80)),
  cut: [...figure.querySelectorAll('button, .ltm-name, label, figcaption, p, text')]
    .filter(p => p.scrollWidth > p.clientWidth + 1 && getComputedStyle(p).display !== 'inline'
      && !p.classList.contains('ltm-hidden')).map(p => p.textContent),
};"""


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("kind", ["relation", "inverse", "threshold", "folds"])
def test_everything_is_in_one_view(open_page, kind, size, theme):
    page = open_page(kind, size, theme)
    layout = page.run(LAYOUT)
    page.screenshot(f"{kind}_{size[0]}_{theme}")
    assert layout["height"] <= (LAB_HEIGHT if size == DESKTOP else 844)
    assert (layout["wide"], layout["outside"], layout["cut"]) == (0, [], [])


STOPS = """const figure = document.querySelector('.ltm-touched'), at = document.activeElement;
if (!figure.contains(at)) return null;
const shown = at.matches('input') ? at.nextElementSibling : at, style = getComputedStyle(shown);
return {
  name: at.getAttribute('aria-label') || at.closest('label')?.textContent || at.textContent,
  ring: style.outlineStyle === 'none' ? 0 : parseFloat(style.outlineWidth),
};"""


@pytest.mark.parametrize("kind", ["relation", "inverse", "threshold", "folds"])
def test_a_figure_is_a_dozen_tab_stops_at_most_and_each_has_a_name_and_a_ring(open_page, kind):
    page = open_page(kind)
    page.run("document.body.tabIndex = -1; document.body.focus()")
    stops = []
    while True:
        page.keys(Keys.TAB)
        stop = page.run(STOPS)
        if stop is None:
            break
        stops.append(stop)
        assert len(stops) <= 12
    assert stops
    assert all(stop["name"].strip() and stop["ring"] >= 2 for stop in stops), stops


CONTRAST = """const rgb = c => { const p = document.createElement('canvas').getContext('2d');
  p.fillStyle = c; p.fillRect(0, 0, 1, 1); return [...p.getImageData(0, 0, 1, 1).data]; };
const light = c => c.slice(0, 3).map(v => v / 255)
  .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
  .reduce((sum, v, k) => sum + v * [0.2126, 0.7152, 0.0722][k], 0);
const back = node => { for (; node; node = node.parentElement) {
  const c = rgb(getComputedStyle(node).backgroundColor); if (c[3] === 255) return c; }
  return [255, 255, 255, 255]; };
const ratio = (a, b) => { const [x, y] = [light(a), light(b)].sort((p, q) => q - p);
  return (x + 0.05) / (y + 0.05); };
const figure = document.querySelector('.ltm-touched'), worst = {text: 21, graphics: 21};
for (const node of figure.querySelectorAll('*')) {
  const style = getComputedStyle(node);
  if (node.closest('.ltm-hidden, [hidden], [aria-disabled="true"]')) continue;
  if ([...node.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()))
    worst.text = Math.min(worst.text, ratio(rgb(style.color), back(node)));
  for (const [kind, selector] of [['fill', '.ltm-object, .ltm-rest'], ['stroke', '.ltm-curve'],
      ['borderTopColor', '.ltm-choice span, .ltm-controls button, .ltm-novel img']])
    if (node.matches(selector))
      worst.graphics = Math.min(worst.graphics, ratio(rgb(style[kind]), back(node.parentElement)));
}
return worst;"""


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("kind", ["relation", "inverse", "threshold", "folds"])
def test_contrast_is_that_of_AA(open_page, kind, theme):
    worst = open_page(kind, theme=theme).run(CONTRAST)
    assert worst["text"] >= 4.5
    assert worst["graphics"] >= 3


def test_a_screen_reader_hears_the_readout_once_the_hand_rests_and_pictures_have_names(open_page):
    page = open_page("relation")
    live = "return document.querySelector('[aria-live=polite]').textContent"
    label = "return document.querySelectorAll('canvas')[arguments[0]].getAttribute('aria-label')"
    assert page.run(live) == ""
    page.focus(".ltm-picture canvas")
    page.keys(Keys.ARROW_RIGHT, Keys.ARROW_DOWN)
    page.wait(lambda: page.run(live) == page.readout, "the readout is not said")
    assert "pixel (6, 5)" in page.run(live)
    assert "pixel (6, 5)" in page.run(label, 0)
    assert "row 95 of R" in page.run(label, 1)


# Notebook 03 -------------------------------------------------------------------------------------


def test_pointing_at_a_query_pixel_shows_its_row_and_at_a_support_pixel_its_column(
    open_page, asked, states
):
    page, R = open_page("relation"), states["relation"].relation()
    page.mouse("mouseMoved", page.cell(11, 13))  # no button is pressed
    page.says("query pixel (11, 13) is row 178 of R")
    row = R[178].reshape(CELLS, CELLS)
    alike(page.canvas(1), figures.relation_overlay(asked["support"], row, asked["mask"]))
    at = tuple(int(k) for k in np.unravel_index(int(row.argmax()), (CELLS, CELLS)))
    assert f"its largest entry is {row.max():.2f}, at support pixel {at}" in page.readout

    page.mouse("mouseMoved", page.cell(3, 2, k=1))
    page.says("support pixel (3, 2) is column 47 of R")
    column = R[:, 47].reshape(CELLS, CELLS)
    alike(page.canvas(0), figures.relation_overlay(asked["query"], column))
    support = np.array(figures.as_uint8(asked["support"]))
    support[figures.outline(asked["mask"])] = 0
    alike(page.canvas(1), support)  # the object stays outlined

    page.mouse("mouseMoved", (1300, 700))  # the hand leaves: back to the pixel of the start
    page.says("query pixel (5, 4) is row 79 of R")


def test_a_click_keeps_a_pixel_and_the_arrow_keys_move_it(open_page):
    page = open_page("relation")
    page.drag(page.cell(0, 13))
    page.mouse("mouseMoved", (1300, 700))
    page.says("query pixel (0, 13) is row 13 of R")
    for key, pixel in (
        (Keys.ARROW_RIGHT, (0, 14)), (Keys.ARROW_RIGHT, (0, 14)), (Keys.ARROW_UP, (0, 14)),
        (Keys.ARROW_DOWN, (1, 14)), (Keys.ARROW_LEFT, (1, 13)),
    ):  # fmt: skip
        page.keys(key)
        page.says(f"query pixel {pixel} is row")
    page.keys(Keys.TAB, Keys.ARROW_UP)
    page.says("support pixel (5, 5) is column 80 of R")  # first the middle of the object
    page.keys(Keys.ARROW_UP)
    page.says("support pixel (4, 5) is column 65 of R")


def test_a_finger_moves_the_pixel(open_page):
    page = open_page("relation", PHONE)
    page.touch(page.cell(2, 2), page.cell(5, 5), page.cell(9, 6))
    page.says("query pixel (9, 6) is row 141 of R")
    page.touch(page.cell(1, 14, k=1))
    page.says("support pixel (1, 14) is column 29 of R")
    assert page.run("return scrollY") == 0


# Notebook 04 -------------------------------------------------------------------------------------


def test_the_answer_follows_while_the_mouse_paints_and_a_fast_stroke_has_no_gap(open_page, asked):
    page = open_page("inverse")
    page.press("nothing")
    page.says("0 cells painted, G Gᵀ = 0: the package sets G⁺ to 0; IoU 0.00")
    page.press("1 cell")
    page.drag(page.cell(4, 2), page.cell(4, 12), lift=False)
    page.says("11 cells painted, G Gᵀ = 11.00; the largest entry of G⁺ is 0.091")
    expected = np.zeros((CELLS, CELLS))
    expected[4, 2:13] = 1
    np.testing.assert_array_equal(page.mask(), expected)
    A_hat, answer = byte_answer(asked, torch.from_numpy(expected).float())
    alike(page.canvas(2), figures.attention_pixels(A_hat, (SIDE, SIDE)))
    alike(page.canvas(3), figures.tinted(asked["query"], answer))
    assert f"IoU {figures.iou(answer, asked['truth']):.2f}" in page.readout
    page.mouse("mouseReleased", page.cell(4, 12), held=True)
    page.mouse("mouseMoved", page.cell(9, 9))  # a lifted hand paints nothing
    np.testing.assert_array_equal(page.mask(), expected)


def test_brushes_paint_a_cell_or_nine_whole_or_half_and_erase(open_page):
    page = open_page("inverse")
    page.press("nothing")
    page.drag(page.cell(0, 0))  # the wide brush stops at the border
    page.says("4 cells painted, G Gᵀ = 4.00")
    page.press("paint half")
    page.drag(page.cell(14, 7))
    page.says("10 cells painted, G Gᵀ = 5.50")
    page.press("erase")
    page.press("1 cell")
    page.drag(page.cell(14, 7))
    page.says("9 cells painted, G Gᵀ = 5.25")


def test_a_stroke_is_one_step_of_undo(open_page):
    page = open_page("inverse")
    before = page.mask()
    page.drag(*(page.cell(12, x) for x in range(2, 13)))
    painted = page.mask()
    assert (painted != before).sum() == 3 * 13
    page.press("undo")
    np.testing.assert_array_equal(page.mask(), before)
    page.press("redo")
    np.testing.assert_array_equal(page.mask(), painted)
    page.press("bar")  # a mask to start from is a step too
    page.says("33 cells painted")
    page.focus(".ltm-picture canvas")
    webdriver.ActionChains(page.driver).key_down(Keys.CONTROL).send_keys("zz").key_up(
        Keys.CONTROL
    ).perform()
    np.testing.assert_array_equal(page.mask(), before)
    page.press("undo")  # there is nothing left to undo
    np.testing.assert_array_equal(page.mask(), before)


def test_a_finger_paints_and_the_page_stays_where_it_is(open_page):
    page = open_page("inverse", PHONE)
    page.press("nothing")
    page.touch(page.cell(2, 7), page.cell(5, 7), page.cell(9, 7), page.cell(12, 7))
    page.says("39 cells painted")
    assert page.mask()[1:14, 6:9].all()
    assert page.run("return scrollY") == 0
    page.screenshot("inverse_painted_by_a_finger")
    shown = (
        "return [...document.querySelectorAll('.ltm-picture')]"
        ".map(p => p.getBoundingClientRect().bottom)"
    )
    assert max(page.run(shown)) <= PHONE[1]  # cause and effect are in one view


def test_the_keyboard_paints(open_page):
    page = open_page("inverse")
    page.press("nothing")
    page.press("1 cell")
    page.keys(Keys.TAB, Keys.TAB, Keys.TAB, Keys.TAB)  # undo, redo, the masks, the picture
    page.keys(Keys.SPACE, Keys.ARROW_RIGHT, Keys.ARROW_DOWN, Keys.ENTER)
    expected = np.zeros((CELLS, CELLS))
    expected[7, 7] = expected[8, 8] = 1
    np.testing.assert_array_equal(page.mask(), expected)
    page.screenshot("inverse_keyboard")
    live = "return document.querySelector('[aria-live=polite]').textContent"
    page.wait(lambda: page.run(live).startswith("2 cells painted"))


def test_a_frame_of_a_stroke_takes_few_milliseconds(open_page):
    page = open_page("inverse")
    page.run("""const once = figure.frame.bind(figure); window.times = [];
figure.frame = () => {
  const t = performance.now(); once(); times.push(performance.now() - t); };""")
    for y in (3, 6, 9, 12):
        page.drag(*(page.cell(y, x) for x in (*range(1, 14), *range(13, 0, -1))))
    times = sorted(page.run("return times"))
    assert len(times) > 30
    median = times[len(times) // 2]
    print(f"{len(times)} frames: median {median:.1f} ms, worst {times[-1]:.1f} ms")
    assert median < 64  # four times what is aimed at: this machine may be busy


# A kernel ----------------------------------------------------------------------------------------

KERNEL = """await (async () => {
  const state = {...{state}, answers: true}, sent = window.sent = [], on = {};
  window.reply = (id, value) => on['msg:custom']({id}, [new DataView(
    new Uint8Array(225 * 225).fill(value).buffer)]);
  return draw({get: name => state[name], on: (kind, f) => { on[kind] = f; }, off() {},
    send: (message, _, buffers) => sent.push([message, new Float32Array(buffers[0])])}, place);
})()"""


def test_the_decoder_answers_from_the_kernel_and_a_late_answer_is_dropped(open_page, asked):
    page = open_page("inverse", start=KERNEL)
    caption = "return [...document.querySelectorAll('figcaption')].at(-1).textContent"
    asks = "return sent.map(([message, g]) => [message.id, g.reduce((a, b) => a + b, 0)])"
    page.wait(lambda: page.run(asks) == [[1, 25]], "the page does not ask")
    page.press("nothing")
    page.press("bar")
    page.says("33 cells painted")
    page.run("reply(1, 1)")  # answers the first mask, which is no longer painted
    assert page.run(caption) == "trained network: …"
    page.wait(lambda: page.run(asks) == [[1, 25], [2, 16.5]], "the last mask is not asked")
    page.run("reply(1, 1)")
    assert page.run(caption) == "trained network: …"
    page.run("reply(2, 1)")
    whole = figures.iou(np.ones((SIDE, SIDE), bool), asked["truth"])
    page.says(f"; trained network: IoU {whole:.2f}")
    assert page.run(caption) == "trained network"
    alike(page.canvas(4), figures.tinted(asked["query"], np.ones((SIDE, SIDE))))
    page.screenshot("inverse_with_a_kernel")
    assert page.run(LAYOUT)["height"] <= LAB_HEIGHT


def test_a_silent_kernel_is_named_and_the_answer_of_the_page_stays(open_page, asked):
    page = open_page("inverse", start=KERNEL)
    caption = "return [...document.querySelectorAll('figcaption')].at(-1).textContent"
    page.wait(lambda: page.run(caption) == "network: kernel busy")
    _, answer = byte_answer(asked)
    alike(page.canvas(3), figures.tinted(asked["query"], answer))
    page.drag(page.cell(10, 10))
    page.wait(lambda: page.run("return sent.length") == 2, "the page does not ask again")


# Notebook 05 -------------------------------------------------------------------------------------


def test_dragging_the_threshold_moves_the_mask_and_its_iou(open_page, asked, states):
    page = open_page("threshold")
    shares = np.frombuffer(states["threshold"].bytes("A_hat"), "<u2") / 65535
    A_hat = torch.from_numpy(shares.reshape(SIDE, SIDE))
    chart = ".ltm-chart"

    def at(t: float) -> tuple[float, float]:
        left, right = page.run("return [figure.plot.left, figure.plot.right]")
        x, y = page.place(chart, 0.5, 0)
        return x + left + t * (right - left), y

    seen = []
    page.mouse("mousePressed", at(0.6), held=True)
    for t in (0.45, 0.3, 0.8):
        page.mouse("mouseMoved", at(t), held=True)
        mask = (A_hat > t).numpy()
        page.says(f"above {t:.2f}: IoU {figures.iou(mask, asked['truth']):.2f}")
        seen.append(page.canvas(0))
        alike(seen[-1], figures.cut(asked["query"], A_hat, t, asked["truth"]))
    page.mouse("mouseReleased", at(0.8), held=True)
    assert (seen[0] != seen[2]).any()
    for key, t in ((Keys.ARROW_RIGHT, 0.81), (Keys.ARROW_DOWN, 0.8), (Keys.PAGE_DOWN, 0.7),
                   (Keys.END, 1), (Keys.HOME, 0)):  # fmt: skip
        page.keys(key)
        page.says(f"above {t:.2f}: IoU")
    value = "return document.querySelector('.ltm-chart').getAttribute('aria-valuetext')"
    assert page.run(value).startswith("above 0.00: IoU")
    best = max(range(21), key=lambda k: page.run("return figure.scores")[k])
    assert page.readout.endswith(f"at {SCORED[best]:.2f}")


def test_a_finger_drags_the_threshold(open_page):
    page = open_page("threshold", PHONE)
    y = page.place(".ltm-chart", 0.5, 0)[1]
    left, right = page.run("return [figure.plot.left, figure.plot.right]")
    x = page.place(".ltm-chart", 0.5, 0)[0]
    points = [(x + left + t * (right - left), y) for t in (0.6, 0.7, 0.9)]
    page.touch(*points)
    page.says("above 0.90: IoU")


# Notebook 01 -------------------------------------------------------------------------------------


def test_a_fold_frames_its_novel_classes_and_a_class_shows_its_pictures(open_page, states):
    page, novel = open_page("folds"), states["folds"]["novel"]
    framed = (
        "return [...document.querySelectorAll('.ltm-board button')]"
        ".flatMap((b, k) => b.classList.contains('ltm-novel') ? [k + 1] : [])"
    )
    strip = (
        "return [...document.querySelectorAll('.ltm-strip img')].map(i => [i.alt, i.naturalWidth])"
    )
    name = states["folds"]["classes"]
    assert page.run(framed) == novel[0]
    assert page.readout == f"fold 0: {name[0]} is novel: only in test questions"
    page.press("2")
    page.wait(lambda: page.run(framed) == novel[2], "another fold frames nothing else")
    assert page.readout == f"fold 2: {name[0]} is base: for training"
    page.focus(".ltm-board button")
    page.keys(Keys.ARROW_RIGHT, Keys.ARROW_DOWN, Keys.ARROW_LEFT)
    k = 5
    page.says(f"fold 2: {name[k]} is")
    shown = page.wait(lambda: all(w for _, w in page.run(strip)) and page.run(strip))
    assert len(shown) == len(states["folds"]["pictures"][k])
    assert all(re.match(rf"{name[k]}, tinted in picture \d of", alt) for alt, _ in shown)
    page.screenshot("folds_chosen")


def test_a_picture_is_sent_as_it_is(states):
    assert base64.b64decode(states["folds"]["crops"][0])[8:12] == b"WEBP"
