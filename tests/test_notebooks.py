"""Rules for notebooks/*.ipynb, checked without running them; `pytest --nbval` runs them."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

MAX_CELLS, MAX_LINES, MAX_WORDS = 40, 30, 250
WIDGET = "application/vnd.jupyter.widget-view+json"
KERNELS = {"Python 3", "Python 3 (ipykernel)"}
FORBIDDEN = {  # in code: its name, and a pattern that finds it
    "pip": r"^\s*[!%]\s*pip\b|\bpip3? install\b",
    "%cd": r"^\s*%cd\b|\bos\.chdir\(",
    ".cuda()": r"\.cuda\(",
    "num_workers > 0": r"\bnum_workers\s*=\s*[1-9]",
    "the network": r"https?://|\burlopen\b|\brequests\.get\b|^\s*!\s*(?:curl|wget)\b",
    "an absolute path": r"[\"'](?:/|~[/\\]|[A-Za-z]:[/\\]+)\w",
}
PATH = r"(?<![\w.:/<])/[A-Za-z][\w.-]*(?:/[\w.@+-]+)+|~/\w|\b[A-Z]:\\\w"  # in the output of a cell

Rule = Callable[[dict], Iterator[str]]
RULES: list[Rule] = []


def rule(check: Rule) -> Rule:
    RULES.append(check)
    return check


# Reading a notebook -----------------------------------------------------------------------------


def join(text: str | list[str]) -> str:
    return text if isinstance(text, str) else "".join(text)


def cells(nb: dict, kind: str) -> list[tuple[str, dict, str, set[str]]]:
    """List the cells of a kind: a name for messages, the cell, its source, its tags."""
    return [
        (f"cell {i}", cell, join(cell["source"]), set(cell["metadata"].get("tags", ())))
        for i, cell in enumerate(nb["cells"])
        if cell["cell_type"] == kind
    ]


def mime(cell: dict) -> dict[str, str]:
    """Join what a cell displays, by MIME type."""
    contents: dict[str, str] = {}
    for output in cell["outputs"]:
        for kind, content in output.get("data", {}).items():
            text = str(content) if isinstance(content, dict) else join(content)
            contents[kind] = contents.get(kind, "") + text
    return contents


def output_text(cell: dict) -> str:
    """Join the text of a cell's outputs and tracebacks, without colours."""
    parts = [content for kind, content in mime(cell).items() if kind.startswith("text/")]
    for output in cell["outputs"]:
        parts += [join(output.get("text", "")), *output.get("traceback", [])]
    return re.sub(r"\x1b\[[\d;]*m", "", "\n".join(parts))


def prose(source: str) -> str:
    """Keep a text cell's sentences: no equations, tables, code, comments, headings, addresses."""
    for pattern, replacement in [
        (r"(?s:```.*?```|<!--.*?-->|\$\$.*?\$\$|\\begin\{(\w+\*?)\}.*?\\end\{\1\})", " "),
        (r"(?m:^\s*(?:\||#).*$)", " "),
        (r"`[^`\n]*`|\$[^$]+\$", " x "),  # a formula reads as one word
        (r"!?\[([^\]]*)\]\([^)]*\)", r"\1"),
    ]:
        source = re.sub(pattern, replacement, source)
    return source


# The rules --------------------------------------------------------------------------------------


@rule
def executed_in_order(nb: dict) -> Iterator[str]:
    counts = [cell["execution_count"] for _, cell, _, _ in cells(nb, "code")]
    if counts != list(range(1, len(counts) + 1)):
        yield f"run it from a clean kernel, top to bottom; the counts are {counts}"


@rule
def errors_are_announced(nb: dict) -> Iterator[str]:
    for where, cell, _, tags in cells(nb, "code"):
        fails = any(output["output_type"] == "error" for output in cell["outputs"])
        if fails != ("raises-exception" in tags):
            yield f"{where}: " + ("an error" if fails else "tagged raises-exception, no error")


@rule
def no_stderr(nb: dict) -> Iterator[str]:
    for where, cell, _, _ in cells(nb, "code"):
        if any(output.get("name") == "stderr" for output in cell["outputs"]):
            yield f"{where}: wrote to stderr"


@rule
def no_saved_widget_state(nb: dict) -> Iterator[str]:
    if "widgets" in nb["metadata"]:
        yield "delete metadata.widgets"


@rule
def plain_kernel(nb: dict) -> Iterator[str]:
    spec = nb["metadata"].get("kernelspec", {})
    if spec.get("name") != "python3" or spec.get("display_name") not in KERNELS:
        yield f"the kernel must be python3, 'Python 3', not {spec}"


@rule
def nothing_forbidden(nb: dict) -> Iterator[str]:
    for where, _, source, _ in cells(nb, "code"):
        for what, pattern in FORBIDDEN.items():
            if re.search(pattern, source, flags=re.MULTILINE):
                yield f"{where}: {what}"


@rule
def no_paths_printed(nb: dict) -> Iterator[str]:
    for where, cell, _, _ in cells(nb, "code"):
        if path := re.search(PATH, output_text(cell)):
            yield f"{where}: {path[0]} (in a traceback, `%xmode Minimal` hides paths)"


@rule
def progress_bars_are_not_compared(nb: dict) -> Iterator[str]:
    for where, _, source, tags in cells(nb, "code"):
        if "tqdm" in source and "nbval-ignore-output" not in tags:
            yield f"{where}: tqdm"


@rule
def few_cells(nb: dict) -> Iterator[str]:
    if (n := len(cells(nb, "code"))) > MAX_CELLS:
        yield f"{n} code cells, at most {MAX_CELLS}"


@rule
def short_code(nb: dict) -> Iterator[str]:
    for where, _, source, tags in cells(nb, "code"):
        n = sum(bool(line.strip()) for line in source.splitlines())
        if n > MAX_LINES and "long" not in tags:
            yield f"{where}: {n} lines, at most {MAX_LINES} (or tag it 'long')"


@rule
def short_text(nb: dict) -> Iterator[str]:
    for where, _, source, tags in cells(nb, "markdown"):
        n = len(re.findall(r"\w[\w'’.-]*", prose(source)))
        if n > MAX_WORDS and "long" not in tags:
            yield f"{where}: {n} words, at most {MAX_WORDS} (or tag it 'long')"


@rule
def figures_are_png(nb: dict) -> Iterator[str]:
    for where, cell, _, _ in cells(nb, "code"):
        formats = mime(cell)
        other = [kind for kind in formats if kind.startswith("image/") and kind != "image/png"]
        if re.search(r"<(?:svg|img|video|canvas|script)\b", formats.get("text/html", "")):
            other.append("text/html")
        if other:
            yield f"{where}: {', '.join(other)}"


@rule
def widgets_have_a_static_twin(nb: dict) -> Iterator[str]:
    code = cells(nb, "code")
    for i, (where, cell, _, tags) in enumerate(code):
        if WIDGET not in mime(cell):
            continue
        if "nbval-ignore-output" not in tags:
            yield f"{where}: tag the widget nbval-ignore-output"
        if not any("image/png" in mime(twin) for _, twin, _, _ in code[i + 1 : i + 3]):
            yield f"{where}: neither of the next two cells draws it as a figure"


@rule
def equations_are_numbered(nb: dict) -> Iterator[str]:
    display = r"(?s)\$\$.*?\$\$|\\begin\{((?:equation|align|gather)\*?)\}.*?\\end\{\1\}"
    for where, _, source, _ in cells(nb, "markdown"):
        for equation in re.finditer(display, re.sub(r"(?s)```.*?```", "", source)):
            if not re.search(r"\\tag\*?\{|\\notag\b", equation[0]):
                yield rf"{where}: {equation[0][:40]!r} needs \tag{{}} (or, on purpose, \notag)"


@rule
def numbers_were_printed(nb: dict) -> Iterator[str]:
    """Require an output for each number with two decimals, except in tables and quotations."""
    outputs = "\n".join(source + output_text(cell) for _, cell, source, _ in cells(nb, "code"))
    for where, _, source, _ in cells(nb, "markdown"):
        text = re.sub(r"^>.*$|Python \d\.\d+|arXiv\S+", "", prose(source), flags=re.MULTILINE)
        for number in re.findall(r"(?<![\w.:/-])\d*\.\d{2,}(?!\d|\.\d)", text):
            if number.removeprefix("0") not in outputs:
                yield f"{where}: no cell printed {number}"


def complaints(nb: dict) -> list[str]:
    return [f"{check.__name__}: {what}" for check in RULES for what in check(nb)]


# The course -------------------------------------------------------------------------------------


def test_the_course_has_its_first_notebooks_under_different_numbers():
    numbers = [path.name[:2] for path in NOTEBOOKS]
    assert {"00", "03"} <= set(numbers), "notebooks 00 and 03 at least, not " + str(numbers)
    assert len(numbers) == len(set(numbers)), "two notebooks share a number"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_keeps_the_rules(path):
    broken = complaints(json.loads(path.read_text(encoding="utf-8")))
    assert not broken, "\n" + "\n".join(broken)


# Each rule finds its mistake -------------------------------------------------------------------


def text(source: str, *tags: str) -> dict:
    return {"cell_type": "markdown", "source": source, "metadata": {"tags": list(tags)}}


def code(source: str, *tags: str, **data: str) -> dict:
    """A code cell; html="..." and so on become its outputs."""
    kinds = {"plain": "text/plain", "html": "text/html", "png": "image/png", "widget": WIDGET}
    kinds |= {"svg": "image/svg+xml"}
    outputs: list[dict] = []
    for kind, content in data.items():
        if kind in ("stdout", "stderr"):
            outputs.append({"output_type": "stream", "name": kind, "text": [content]})
        elif kind == "error":
            outputs.append({"output_type": "error", "ename": "ValueError", "traceback": [content]})
        else:
            outputs.append({"output_type": "display_data", "data": {kinds[kind]: content}})
    return {
        "cell_type": "code",
        "source": source.splitlines(keepends=True),
        "metadata": {"tags": list(tags)},
        "outputs": outputs,
    }


def notebook(*content: dict, kernel: str = "python3", counts: list | None = None, **meta) -> dict:
    nb = {
        "cells": list(content),
        "metadata": {"kernelspec": {"name": kernel, "display_name": "Python 3"}, **meta},
    }
    run = [cell for cell in content if cell["cell_type"] == "code"]
    for cell, count in zip(run, counts or range(1, len(run) + 1), strict=True):
        cell["execution_count"] = count
    return nb


GOOD = notebook(
    text("# 03 The relationship matrix\n\nTwenty minutes; needs Python 3.11."),
    text("The cosine, $s \\le 1$:\n\n$$ R = E_q^T E_s \\tag{2} $$\n\nHere it is 0.87."),
    code("import torch\n\nprint(round(0.871, 2), torch.cuda.is_available())", stdout="0.87 False"),
    code("explore(R)", "nbval-ignore-output", widget="{}"),
    code("figures.rows(R)\nplt.show()", plain="<Figure size 640x480>", png="iVBORw0KGgo="),
    code("R @ wrong", "raises-exception", error="\x1b[31mValueError\x1b[0m: \x1b[1mE_q/E_s"),
    code("\n".join(f"line_{i} = {i}" for i in range(30)), "long"),
    text("| symbol | function |\n|---|---|\n" + "| R | relationship_matrix, 57.04 |\n" * 50),
    text("word " * 200, "long"),
)

BAD: dict[Rule, list[dict]] = {
    executed_in_order: [
        notebook(code("1"), code("2"), counts=[2, 1]),
        notebook(code("1"), counts=[None]),
        notebook(code("1"), counts=[7]),
    ],
    errors_are_announced: [
        notebook(code("1 / 0", error="ZeroDivisionError")),
        notebook(code("1 / 1", "raises-exception", plain="1.0")),
    ],
    no_stderr: [notebook(code("warn()", stderr="UserWarning"))],
    no_saved_widget_state: [notebook(code("1"), widgets={"state": {}})],
    plain_kernel: [notebook(code("1"), kernel="my-venv")],
    nothing_forbidden: [
        notebook(code(source))
        for source in [
            "%pip install torch",
            "x = 1\n!pip install torch",
            "%cd ..",
            "model.cuda()",
            "DataLoader(pairs, num_workers=4)",
            'torch.hub.load_state_dict_from_url("https://example.org/w.pt")',
            'open("/home/me/x.png")',
            "open('~/x.png')",
            r"open('C:\\x.png')",
        ]
    ],
    no_paths_printed: [
        notebook(code("print(folder)", stdout="/home/me/ltm_edu/data")),
        notebook(code("f()", "raises-exception", error="File \x1b[32m/opt/ltm_edu/a.py:3\x1b[0m")),
        notebook(code("f()", "raises-exception", error="File ~/ltm_edu/a.py:3")),
    ],
    progress_bars_are_not_compared: [notebook(code("for pair in tqdm(pairs):\n    pass"))],
    few_cells: [notebook(*(code("1") for _ in range(MAX_CELLS + 1)))],
    short_code: [notebook(code("x = 1\n" * (MAX_LINES + 1)))],
    short_text: [notebook(text("word " * (MAX_WORDS + 1)))],
    figures_are_png: [
        notebook(code("plot()", svg="<svg/>")),
        notebook(code("plot()", html="<div><img src='x'></div>")),
    ],
    widgets_have_a_static_twin: [
        notebook(code("explore(R)", widget="{}"), code("plot()", png="iVBORw0KGgo=")),
        notebook(code("explore(R)", "nbval-ignore-output", widget="{}"), code("1")),
    ],
    equations_are_numbered: [
        notebook(text("$$ A = R G^+ $$")),
        notebook(text("$$ R = 1 \\tag{2} $$ and\n$$\nA = R G^+\n$$")),
        notebook(text("\\begin{align}\nA = R G^+\n\\end{align}")),
    ],
    numbers_were_printed: [
        notebook(text("The model reaches 0.54."), code("print(1)", stdout="0.55")),
        notebook(text("It gained 12.75 points."), code("print(1)")),
    ],
}


def test_a_good_notebook_passes():
    assert complaints(GOOD) == []


def test_every_rule_has_a_bad_notebook():
    assert set(BAD) == set(RULES)


@pytest.mark.parametrize(
    ("check", "nb"),
    [
        pytest.param(check, nb, id=f"{check.__name__}-{i}")
        for check, bad in BAD.items()
        for i, nb in enumerate(bad)
    ],
)
def test_a_bad_notebook_breaks_exactly_its_rule(check, nb):
    assert {complaint.split(":")[0] for complaint in complaints(nb)} == {check.__name__}


# What nbval may ignore --------------------------------------------------------------------------


def sanitized(output: str) -> str:
    plugin = pytest.importorskip("nbval.plugin")
    patterns = (ROOT / "tests" / "nbval_sanitize.cfg").read_text(encoding="utf-8")
    for regex, replacement in plugin.get_sanitize_patterns(patterns):
        output = re.sub(regex, replacement, output)
    return output


@pytest.mark.parametrize(
    ("saved", "new"),
    [("<object at 0x7f01>", "<object at 0x10Ab>"), ("took 12.3 s", "took 9 s")],
)
def test_addresses_and_marked_timings_may_differ(saved, new):
    assert sanitized(saved) == sanitized(new)


@pytest.mark.parametrize("output", ["mIoU 0.54", "12.3 s", "torch.Size([2, 3])", "took 3 steps"])
def test_everything_else_is_compared(output):
    assert sanitized(output) == output


# What the book draws without Python ---------------------------------------------------------------


def test_figures_that_are_touched_are_saved_with_their_numbers_in_less_than_400_kB():
    saved = {}
    for path in NOTEBOOKS:
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            for output in cell.get("outputs", ()):
                state = output.get("data", {}).get("application/vnd.ltm-edu.figure+json")
                if state is not None:
                    saved[path.name[:2]] = state["kind"], len(json.dumps(state))
    kinds = {number: kind for number, (kind, _) in saved.items()}
    assert kinds == {"01": "folds", "03": "relation", "04": "inverse", "05": "threshold"}
    assert max(size for _, size in saved.values()) < 400_000
