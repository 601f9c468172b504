"""The course's notebooks, read without running them, and the README tables made from them.

`make readme` (or `python -m tools.course`) rewrites the tables between README's markers: the map
of the notebooks, the table of the equations, and the stages of the dress rehearsal. Titles and
equations come from the notebooks; `MOMENTS` and `EQUATIONS` hold what no notebook says. The
rehearsal's figures come from the file that it wrote, `data/rehearsal.json`.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from ltm_edu.store.errors import InputError
from ltm_edu.store.files import written_whole

ROOT = Path(__file__).resolve().parent.parent

MOMENTS = {
    "00": "segment a class that the network never trained on, on emoji and on a photograph",
    "01": "draw episodes by fold, and see why a held-out class is the whole point",
    "02": "see what a frozen backbone sees, and find a class by its average",
    "03": "pick a query pixel and see which support pixels it resembles",
    "04": "paint a mask, watch its generalized inverse, and find that attention is a mean",
    "05": "see what the min-max keeps of a map, and what it throws away",
    "06": "see which weights each of the three losses pulls on",
    "07": "train it on a laptop in two minutes, then take out one part after another",
    "08": "score it honestly: floors, seeds, the protocol, one shot against five",
    "09": "PASCAL-5i on a GPU: fetch, verify, cache, train, resume, evaluate",
    "10": "read the paper critically, and make it faster",
}
"""The planned notebooks, and what happens in each: one line for README and for the book's index."""


@dataclass(frozen=True)
class Equation:
    """A row of README's table: where one equation of the paper lives, or two that are one function.

    Attributes:
        numbers: the paper's.
        name: in words.
        functions: in `ltm_edu.equations`.
        test: in `tests/`, the one that compares with an independent route.
    """

    numbers: tuple[int, ...]
    name: str
    functions: tuple[str, ...]
    test: str


EQUATIONS = (
    Equation(
        (1,),
        "masked support",
        ("masked_features",),
        "test_masked_features_are_a_product_at_every_pixel",
    ),
    Equation(
        (2,),
        "relationship matrix",
        ("relationship_matrix",),
        "test_relation_is_the_cosine_of_query_row_and_support_column",
    ),
    Equation(
        (3,),
        "true relation",
        ("relationship_truth",),
        "test_true_relation_is_the_outer_product_of_the_masks",
    ),
    Equation(
        (4, 5),
        "attention",
        ("attention", "generalized_inverse"),
        "test_attention_is_the_least_squares_solution",
    ),
    Equation(
        (6,),
        "normalised attention",
        ("normalize_attention",),
        "test_min_max_stretches_each_image_by_itself",
    ),
    Equation(
        (7,),
        "attended features",
        ("attended_features",),
        "test_attended_features_are_a_product_at_every_pixel",
    ),
    Equation(
        (8,),
        "mask loss",
        ("mask_loss",),
        "test_mask_loss_is_binary_cross_entropy_of_the_difference_of_the_logits",
    ),
    Equation(
        (9,),
        "attention loss",
        ("attention_loss",),
        "test_printed_attention_loss_is_binary_cross_entropy_of_the_resized_map",
    ),
    Equation(
        (10,),
        "relationship loss",
        ("relationship_loss",),
        "test_relationship_loss_adds_up_every_entry",
    ),
    Equation((11,), "total loss", ("total_loss",), "test_the_lambdas_weigh_their_own_terms"),
)
"""Every equation of the paper, in its order."""


@dataclass(frozen=True)
class Notebook:
    r"""What the tables and the book say about a notebook.

    Attributes:
        path: its file.
        number: "03".
        title: its first heading, without the number.
        equations: the paper's numbers that it displays, by `\tag{n}`.
        content: the file as JSON.
    """

    path: Path
    number: str
    title: str
    equations: tuple[int, ...]
    content: dict

    @property
    def moment(self) -> str:
        """What happens in it, in one line."""
        return MOMENTS.get(self.number, "")


def read_notebooks(folder: Path = ROOT / "notebooks") -> list[Notebook]:
    """Every notebook of a folder, by number.

    Raises:
        InputError: there is none, two share a number, or one cannot be read.
    """
    notebooks = [read_notebook(path) for path in sorted(folder.glob("*.ipynb"))]
    if not notebooks:
        raise InputError(f"no notebook in {folder}: run this in a checkout of the course")
    for one, next_one in pairwise(notebooks):
        if one.number == next_one.number:
            names = f"{one.path.name} and {next_one.path.name}"
            raise InputError(f"{names} share the number {one.number}: rename one")
    return notebooks


def read_notebook(path: Path) -> Notebook:
    """Read one notebook; runs nothing.

    Raises:
        InputError: it is no notebook, or its first cell holds no "# NN · Title".
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        texts = [source(c) for c in content["cells"] if c["cell_type"] == "markdown"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path.name} is no notebook ({error}): save it again in JupyterLab"
        ) from None
    heading = re.match(r"#\s*(\d\d)\s*(?:[·.:–—-]\s*)?(\S.*)", texts[0].lstrip() if texts else "")
    if heading is None:
        raise InputError(f'{path.name}: its first cell must begin with "# NN · Title"')
    tags = {int(n) for text in texts for n in re.findall(r"\\tag\{(\d+)\}", text)}
    return Notebook(path, heading[1], heading[2].strip(), tuple(sorted(tags)), content)


def source(cell: dict) -> str:
    """A cell's text; notebooks store it whole or as lines."""
    return "".join(cell["source"])


def spans(numbers: Iterable[int]) -> str:
    """Numbers in words; three or more in a row are drawn together.

    >>> spans([1, 2, 5, 6, 7])
    '1, 2, 5 to 7'
    """
    runs: list[list[int]] = []
    for n in sorted(numbers):
        if runs and n == runs[-1][-1] + 1:
            runs[-1].append(n)
        else:
            runs.append([n])
    parts = [[f"{r[0]} to {r[-1]}"] if len(r) > 2 else [str(n) for n in r] for r in runs]
    return ", ".join(part for run in parts for part in run)


def planned(notebooks: Sequence[Notebook]) -> str:
    """Say which notebooks are still to come; "" if none."""
    missing = [int(n) for n in MOMENTS if n not in {notebook.number for notebook in notebooks}]
    if not missing:
        return ""
    return "Still to come: " + re.sub(r"\d+", lambda n: n[0].zfill(2), spans(missing)) + "."


def notebook_table(notebooks: Sequence[Notebook]) -> str:
    """The map of the course, as a Markdown table."""
    lines = ["| notebook | what happens in it | equations |", "|---|---|---|"]
    for n in notebooks:
        link = f"[{n.number} {n.title}](notebooks/{n.path.name})"
        lines.append(f"| {link} | {n.moment} | {spans(n.equations) or '-'} |")
    if more := planned(notebooks):
        lines += ["", more]
    return "\n".join(lines)


def equation_table(notebooks: Sequence[Notebook]) -> str:
    """Equation, function, the notebooks that display it, test: a Markdown table."""
    lines = [
        "| equation | function in `ltm_edu.equations` | notebooks | test in `tests/` |",
        "|---|---|---|---|",
    ]
    for e in EQUATIONS:
        shown = [n.number for n in notebooks if set(e.numbers) & set(n.equations)]
        name = f"{', '.join(map(str, e.numbers))} {e.name}"
        functions = ", ".join(f"`{f}`" for f in e.functions)
        lines.append(f"| {name} | {functions} | {', '.join(shown) or '-'} | `{e.test}` |")
    return "\n".join(lines)


def rehearsal_table(path: Path) -> str:
    """What the dress rehearsal took, as a Markdown table; see `tools.rehearsal`.

    Raises:
        InputError: the file is missing, or no rehearsal.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        on = found["machine"]
        lines = [
            f"{found['pictures']:,} pictures, {found['steps']} updates a fold, "
            f"{found['episodes']:,} episodes a fold and seed; "
            f"{on['gpu'] or str(on['cores']) + ' CPU cores'}, torch {on['torch']}; "
            f"{found['what']}.",
            "",
            "| stage | min:s | peak memory, GB |",
            "|---|---|---|",
            f"| draw the pictures | {_clock(found['seconds to draw them'])} | |",
        ]
        for name, stage in found["stages"].items():
            peak = "" if stage["peak_gb"] is None else f"{stage['peak_gb']:.1f}"
            lines.append(f"| {name} | {_clock(stage['seconds'])} | {peak} |")
        return "\n".join(lines)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} is no rehearsal ({error}): write it with python -m tools.rehearsal"
        ) from None


def _clock(seconds: float) -> str:
    return f"{round(seconds) // 60}:{round(seconds) % 60:02}"


def with_tables(readme: str, notebooks: Sequence[Notebook], data: Path = ROOT / "data") -> str:
    """README's text with its tables made anew.

    Args:
        readme: the text.
        notebooks: of the course.
        data: the folder that holds rehearsal.json.

    Raises:
        InputError: a marker is missing, or a file cannot be read.
    """
    tables = {
        "notebooks": notebook_table(notebooks),
        "equations": equation_table(notebooks),
        "rehearsal": rehearsal_table(data / "rehearsal.json"),
    }
    for name, table in tables.items():
        begin, end = f"<!-- {name}: made by `make readme` -->", f"<!-- end of {name} -->"
        head, found, rest = readme.partition(begin)
        _, closed, tail = rest.partition(end)
        if not (found and closed):
            raise InputError(f"README.md needs the lines {begin} and {end} around its table")
        readme = f"{head}{begin}\n\n{table}\n\n{end}{tail}"
    return readme


def main(arguments: Sequence[str] | None = None) -> int:
    """Rewrite README's tables; a mistake prints one line and gives exit status 2."""
    parser = argparse.ArgumentParser("python -m tools.course", description=main.__doc__)
    parser.add_argument("--root", type=Path, default=ROOT, help="the checkout")
    root = parser.parse_args(arguments).root
    try:
        readme = root / "README.md"
        old = readme.read_text(encoding="utf-8")
        new = with_tables(old, read_notebooks(root / "notebooks"), root / "data")
        if new == old:
            print("README's tables are up to date")
            return 0
        with written_whole(readme) as part:
            part.write_text(new, encoding="utf-8")
        print("README's tables rewritten")
    except OSError as error:
        print(f"make readme: cannot read {error.filename}: {error.strerror}", file=sys.stderr)
        return 2
    except InputError as error:
        print(f"make readme: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
