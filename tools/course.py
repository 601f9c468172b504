"""Read the course's notebooks without running them, and write README's tables from them.

`make readme` (or `python -m tools.course`) rewrites the tables between README's markers: the list
of the notebooks, the list of the equations, the stages of the rehearsal, leagues and ablations.
Titles and equation numbers come from the notebooks. `MOMENTS` and `EQUATIONS` hold what no notebook
states. The rehearsal's times come from `data/rehearsal.json`, which it wrote, and the leagues'
and ablations' scores from `data/league_*.json` and `data/ablation_*.json`.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from ltm_edu.store.errors import InputError
from ltm_edu.store.files import read_text, written_whole

from . import tool

ROOT = Path(__file__).resolve().parent.parent

MOMENTS = {
    "00": "segment a class that the network never trained on, on photographs and on emoji",
    "01": "draw episodes by fold, and see why the tested classes must be held out",
    "02": "look at the features of a frozen backbone, and find a class by its average feature",
    "03": "choose a query pixel, and see which support pixels resemble it",
    "04": "paint a mask, look at its generalized inverse, and find that attention is a mean",
    "05": "see what the min-max step keeps of a map, what it loses, and whether an object is there",
    "06": "see which weights each of the three losses trains",
    "07": "train the model on a laptop in two minutes, then remove one part at a time",
    "08": "score it honestly: baselines, seeds, the protocol, one shot against five",
    "09": "PASCAL-5i on a GPU: fetch, verify, cache, train, resume, evaluate",
    "10": "read the paper critically, and make it faster",
}
"""What happens in each notebook of the course: one line for README and for the book's index."""


@dataclass(frozen=True)
class Equation:
    """A row of README's table: one equation of the paper, or two that share a function.

    Attributes:
        numbers: the equation's numbers in the paper.
        name: its name in words.
        functions: the functions of `ltm_edu.equations` that compute it.
        test: the test in `tests/` that compares it with an independent computation.
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
    r"""A notebook, as the tables and the book describe it.

    Attributes:
        path: the file.
        number: two digits, such as "03".
        title: the first heading, without the number.
        equations: numbers of the paper's equations that it displays, from `\tag{n}`.
        content: the file as JSON.
    """

    path: Path
    number: str
    title: str
    equations: tuple[int, ...]
    content: dict

    @property
    def moment(self) -> str:
        """One line on what happens in the notebook."""
        return MOMENTS.get(self.number, "")

    @property
    def time(self) -> str:
        """How long it takes, as its first cell says, such as "About 40 minutes"; "" if not."""
        match = re.search(r"\*((?:About )?[\w-]+ minutes)\b", self._opening)
        return match[1] if match else ""

    @property
    def needs(self) -> str:
        """What one must know before, as its first cell says, such as "notebook 00"; "" if not."""
        match = re.search(r"\bNeeds (.+?)\.(?=\s|\*)", self._opening)
        return re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", match[1]) if match else ""

    @property
    def _opening(self) -> str:
        return next(source(c) for c in self.content["cells"] if c["cell_type"] == "markdown")


def read_notebooks(folder: Path = ROOT / "notebooks") -> list[Notebook]:
    """Read every notebook of a folder, in the order of their numbers.

    Raises:
        InputError: the folder has no notebook, two notebooks share a number, or one cannot be read.
    """
    notebooks = [read_notebook(path) for path in sorted(folder.glob("*.ipynb"))]
    if not notebooks:
        raise InputError(f"{folder} holds no notebook: run this in a checkout of the course")
    for first, second in pairwise(notebooks):
        if first.number == second.number:
            names = f"{first.path.name} and {second.path.name}"
            raise InputError(f"{names} share the number {first.number}: rename one of them")
    return notebooks


def read_notebook(path: Path) -> Notebook:
    """Read one notebook without running it.

    Raises:
        InputError: the file is not a notebook, or its first text cell does not begin with
            "# NN · Title".
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        texts = [source(c) for c in content["cells"] if c["cell_type"] == "markdown"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path.name} is not a notebook ({error}): save it again in JupyterLab"
        ) from None
    heading = re.match(r"#\s*(\d\d)\s*(?:[·.:–—-]\s*)?(\S.*)", texts[0].lstrip() if texts else "")
    if heading is None:
        raise InputError(f'{path.name}: its first text cell must begin with "# NN · Title"')
    tags = {int(n) for text in texts for n in re.findall(r"\\tag\{(\d+)\}", text)}
    return Notebook(path, heading[1], heading[2].strip(), tuple(sorted(tags)), content)


def source(cell: dict) -> str:
    """Return a cell's text, which a notebook stores as one string or as a list of lines."""
    return "".join(cell["source"])


def spans(numbers: Iterable[int]) -> str:
    """List numbers as text; three or more consecutive numbers become a range.

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


def missing_line(notebooks: Sequence[Notebook]) -> str:
    """Name the notebooks that are not written yet; "" if all of them are."""
    present = {notebook.number for notebook in notebooks}
    numbers = spans(int(number) for number in MOMENTS if number not in present)
    two_digits = re.sub(r"\d+", lambda n: n[0].zfill(2), numbers)
    return f"Not written yet: {two_digits}." if numbers else ""


def notebook_table(notebooks: Sequence[Notebook]) -> str:
    """List the notebooks in a Markdown table."""
    lines = ["| notebook | what happens in it | equations |", "|---|---|---|"]
    for n in notebooks:
        link = f"[{n.number} {n.title}](notebooks/{n.path.name})"
        lines.append(f"| {link} | {n.moment} | {spans(n.equations) or '-'} |")
    if line := missing_line(notebooks):
        lines += ["", line]
    return "\n".join(lines)


def equation_table(notebooks: Sequence[Notebook]) -> str:
    """List each equation, its functions, its notebooks and its test in a Markdown table."""
    lines = [
        "| equation | function in `ltm_edu.equations` | notebooks | test in `tests/` |",
        "|---|---|---|---|",
    ]
    for e in EQUATIONS:
        where = [n.number for n in notebooks if set(e.numbers) & set(n.equations)]
        name = f"{', '.join(map(str, e.numbers))} {e.name}"
        functions = ", ".join(f"`{f}`" for f in e.functions)
        lines.append(f"| {name} | {functions} | {', '.join(where) or '-'} | `{e.test}` |")
    return "\n".join(lines)


@contextmanager
def _written_by(path: Path, otherwise: str, command: str) -> Iterator[dict]:
    """The content of a JSON file that a command has written.

    Raises:
        InputError: it cannot be read, or the block does not find in it what it looks for.
    """
    try:
        yield json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise InputError(f"{path} is {otherwise} ({error}): write it with {command}") from None


def rehearsal_table(path: Path) -> str:
    """List the time and memory of each stage of a rehearsal; see `tools.rehearsal`.

    Raises:
        InputError: the file is missing, or `tools.rehearsal` did not write it.
    """
    with _written_by(path, "not a rehearsal", "python -m tools.rehearsal") as record:
        machine = record["machine"]
        lines = [
            f"{record['pictures']:,} pictures, {record['steps']} updates a fold, "
            f"{record['episodes']:,} episodes a fold and seed; "
            f"{machine['gpu'] or str(machine['cores']) + ' CPU cores'}, torch {machine['torch']}; "
            f"{record['what']}.",
            "",
            "| stage | min:s | peak memory, GB |",
            "|---|---|---|",
            f"| draw the pictures | {_clock(record['seconds to draw them'])} | |",
        ]
        for name, stage in record["stages"].items():
            peak = "" if stage["peak_gb"] is None else f"{stage['peak_gb']:.1f}"
            lines.append(f"| {name} | {_clock(stage['seconds'])} | {peak} |")
        return "\n".join(lines)


def _clock(seconds: float) -> str:
    return f"{round(seconds) // 60}:{round(seconds) % 60:02}"


def league_tables(folder: Path) -> str:
    """A table for each league_*.json in a folder, as `ltm-edu compare --json` writes them.

    Raises:
        InputError: a file is not a league.
    """
    tables = []
    for path in sorted(folder.glob("league_*.json")):
        with _written_by(path, "not a league", "ltm-edu compare --json") as league:
            rules = league["protocol"]
            first = {e["trained"]: e["method"] for e in reversed(league["entries"])}
            head = (
                f"*{path.stem.removeprefix('league_')}*: folds "
                f"{', '.join(map(str, league['folds']))} of {league['dataset']} "
                f"({league['split']}), {rules['shots']}-shot, {rules['episodes']} episodes a fold"
            )
            if True in first:
                head += f"; trained: {league['training']}"
            lines = [
                f"{head}.",
                "",
                "| transformation | network | mIoU | difference, 95 % interval | ms an episode |",
                "|---|---|---|---|---|",
            ]
            for e in league["entries"]:
                difference = _with_interval(**e["difference"])
                if e["method"] == first[e["trained"]]:
                    difference = "-"
                network = "trained" if e["trained"] else "none"
                cells = (f"`{e['method']}`", network, f"{e['miou']:.3f}", difference)
                lines.append(f"| {' | '.join(cells)} | {1e3 * e['seconds']:.1f} |")
            command = f"```sh\n{league['command']}\n```"
            tables.append("\n".join([*lines, "", command]))
    return "\n\n".join(tables)


def _with_interval(value: float, low: float, high: float) -> str:
    return f"{value:+.3f} ({low:+.3f} to {high:+.3f})"


def ablation_tables(folder: Path) -> str:
    """A table for each ablation_*.json in a folder; see `tools.ablation`.

    Raises:
        InputError: `tools.ablation` did not write a file.
    """
    tables = []
    for path in sorted(folder.glob("ablation_*.json")):
        with _written_by(path, "no ablation", "python -m tools.ablation --json") as record:
            folds = [*record["rows"][0]["folds"]]
            trainings = record["trainings"]
            seeds = "one training" if trainings == 1 else f"{trainings} trainings"
            last = "mean" if trainings == 1 else "mean, each training"
            lines = [
                f"*{record['dataset']}* ({record.get('split', 'val')}): novel classes, "
                f"{record['episodes']} episodes a fold, {record['steps']} updates, "
                f"{seeds} of each.",
                "",
                f"| variant | {' | '.join(f'fold {fold}' for fold in folds)} | {last} |",
                f"|---|{'---|' * len(folds)}---|",
            ]
            if paired := "difference" in record["rows"][0]:
                lines[-2] += " difference to the first, all classes (95 % interval) |"
                lines[-1] += "---|"
            for row in record["rows"]:
                cells = [f"{x:.3f}" for x in (*(row["folds"][fold] for fold in folds), row["mean"])]
                if trainings > 1:
                    cells[-1] += f" ({', '.join(f'{x:.3f}' for x in row['trainings'])})"
                if paired:
                    is_first = row is record["rows"][0]
                    cells.append("-" if is_first else _with_interval(*row["difference"]))
                lines.append(f"| {row['name']} | {' | '.join(cells)} |")
            tables.append("\n".join([*lines, "", f"```sh\n{record['command']}\n```"]))
    return "\n\n".join(tables)


def with_tables(readme: str, notebooks: Sequence[Notebook], data: Path = ROOT / "data") -> str:
    """Return README's text with its tables rewritten.

    Args:
        readme: README's present text.
        notebooks: the notebooks of the course.
        data: the folder that holds rehearsal.json, the leagues and the ablations.

    Raises:
        InputError: a marker is missing, or a file cannot be read.
    """
    tables = {
        "notebooks": notebook_table(notebooks),
        "equations": equation_table(notebooks),
        "rehearsal": rehearsal_table(data / "rehearsal.json"),
        "leagues": league_tables(data),
        "ablations": ablation_tables(data),
    }
    for name, table in tables.items():
        begin, end = f"<!-- {name}: made by `make readme` -->", f"<!-- end of {name} -->"
        head, begin_line, rest = readme.partition(begin)
        _, end_line, tail = rest.partition(end)
        if not (begin_line and end_line):
            raise InputError(f"README.md needs the lines {begin} and {end} around its table")
        readme = f"{head}{begin}\n\n{table}\n\n{end}{tail}"
    return readme


@tool("make readme")
def main(arguments: Sequence[str] | None = None) -> None:
    """Rewrite README's tables. An error prints one line and gives exit status 2."""
    parser = argparse.ArgumentParser("python -m tools.course", description=main.__doc__)
    parser.add_argument("--root", type=Path, default=ROOT, help="the checkout")
    root = parser.parse_args(arguments).root
    readme = root / "README.md"
    old = read_text(readme)
    new = with_tables(old, read_notebooks(root / "notebooks"), root / "data")
    if new == old:
        print("README's tables are up to date")
        return
    with written_whole(readme) as part:
        part.write_text(new, encoding="utf-8")
    print("README's tables rewritten")


if __name__ == "__main__":
    sys.exit(main())
