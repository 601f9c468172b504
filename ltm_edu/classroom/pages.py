"""The results of a grading: a table, a page for each student, and an overview of the class.

Names and messages come from students, so all of them are escaped, and the pages allow no scripts
and load nothing.
"""

from __future__ import annotations

import csv
import json
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from itertools import groupby
from pathlib import Path
from typing import Any

from ..exercises import EXERCISES
from .grading import PROTECTIONS, VERDICTS, Result
from .sandbox import Limits

TABLE, ABOUT, OVERVIEW, STUDENTS = "results.csv", "grading.json", "index.html", "students"
COLUMNS = ("student", "exercise", "verdict", "misconception", "seconds")

_MARKS = {
    "ok": "✓", "wrong": "✗", "not attempted": "○", "stopped": "■", "checker changed": "!",
    "unreadable": "?", "not handed in": "–",
}  # fmt: skip
_MEANS = {
    "ok": "right on all inputs",
    "wrong": "not right, or not in the way that the exercise asks for",
    "not attempted": "the cell is as it was handed out, or removed",
    "stopped": "the code gave no result within its limits",
    "checker changed": "the code changed the checker in its process",
    "unreadable": "the file is no notebook of this assignment",
    "not handed in": "there is no file",
}
_LETTERS = {v: v.split()[0] if v != "not handed in" else "missing" for v in VERDICTS}
_LETTERS["not attempted"] = "open"
_LONGEST = 300
_REFUSED = (
    "A PermissionError comes from the grading: an answer may read no files but Python's own, "
)
_REFUSED += "write none, start no programs, and use no network."

_STYLE = """
:root { color-scheme: light dark; --text: #1b1f24; --soft: #57606a; --back: #ffffff;
  --card: #f6f8fa; --line: #d0d7de; --link: #0550ae;
  --ok: #1a6b34; --wrong: #a40e26; --other: #7a4b00; --open: #57606a; }
@media (prefers-color-scheme: dark) { :root { --text: #e6edf3; --soft: #9da7b3; --back: #0d1117;
  --card: #161b22; --line: #3d444d; --link: #79b8ff;
  --ok: #56d364; --wrong: #ff8e86; --other: #e3b341; --open: #9da7b3; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 62rem; padding: 1rem 1rem 3rem; color: var(--text);
  background: var(--back); font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; line-height: 1.25; } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
a { color: var(--link); }
.soft { color: var(--soft); } .mark { font-weight: 700; white-space: nowrap; }
.ok { color: var(--ok); } .wrong { color: var(--wrong); }
.stopped, .checker, .unreadable { color: var(--other); } .open, .missing { color: var(--open); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .35rem .6rem;
  border-bottom: 1px solid var(--line); }
th { font-weight: 600; }
.grid td, .grid th { text-align: center; overflow-wrap: normal; }
.grid th:first-child { text-align: left; min-width: 7rem; overflow-wrap: anywhere; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 8px;
  padding: .75rem 1rem; margin: 1rem 0; }
section h2 { margin: 0 0 .25rem; } section p { margin: .4rem 0; }
.shown { white-space: pre-wrap; }
pre { overflow-x: auto; background: var(--back); border: 1px solid var(--line); border-radius: 6px;
  padding: .6rem; font: .85rem/1.45 ui-monospace, monospace; overflow-wrap: normal; tab-size: 4; }
summary { cursor: pointer; color: var(--link); }
ul { padding-left: 1.2rem; margin: .4rem 0; }
"""


def write_results(
    folder: Path, results: Sequence[Result], holds: Mapping[str, bool], limits: Limits
) -> None:
    """Write the table, the pages, and what protected this machine.

    Args:
        folder: exists, and is empty.
        results: in the order of the table, a student's together.
        holds: for each of `PROTECTIONS`, whether it was in force.
        limits: of each process.
    """
    with (folder / TABLE).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for r in results:
            values = (_name(r.student), r.exercise, r.verdict, r.misconception)
            writer.writerow([*map(_cell, values), f"{r.seconds:.2f}"])
    about: dict[str, Any] = {
        "in force": [PROTECTIONS[p] for p in PROTECTIONS if holds[p]],
        "missing": [PROTECTIONS[p] for p in PROTECTIONS if not holds[p]],
        "seconds for each exercise": limits.seconds,
        "memory in MiB": limits.memory >> 20,
        "verdicts": {v: sum(r.verdict == v for r in results) for v in VERDICTS},
    }
    (folder / ABOUT).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    protected = _protected(holds, limits)
    pages = page_names({r.student for r in results})
    (folder / STUDENTS).mkdir()
    for student, mine in groupby(results, key=lambda r: r.student):
        text = _student_page(student, list(mine), protected)
        (folder / STUDENTS / pages[student]).write_text(text, encoding="utf-8")
    text = _overview(results, pages, protected)
    (folder / OVERVIEW).write_text(text, encoding="utf-8")


def page_names(students: Iterable[str]) -> dict[str, str]:
    """A file name for each student's page, of plain letters, no two alike on any system."""
    names: dict[str, str] = {}
    taken: set[str] = set()
    for student in sorted(students):
        plain = unicodedata.normalize("NFKD", student).encode("ascii", "ignore").decode()
        stem = re.sub(r"[^A-Za-z0-9_-]+", "-", plain)[:50].strip("-") or "student"
        name, n = stem, 1
        while name.lower() in taken:
            n += 1
            name = f"{stem}-{n}"
        taken.add(name.lower())
        names[student] = f"{name}.html"
    return names


def plain(text: str) -> str:
    """Text without control characters and without marks that turn the direction of writing."""
    return "".join("\N{REPLACEMENT CHARACTER}" if _is_control(c) else c for c in text)


def _is_control(c: str) -> bool:
    """Whether a character shows nothing; those that join letters in some languages are kept."""
    joins = c in ("\N{ZERO WIDTH JOINER}", "\N{ZERO WIDTH NON-JOINER}")
    return unicodedata.category(c) in ("Cc", "Cf", "Cs") and not joins


def _name(student: str) -> str:
    """A student's name, in which what shows nothing is written out, so that no two look alike."""
    return "".join(
        (repr(os.fsencode(c))[2:-1] if unicodedata.category(c) == "Cs" else ascii(c)[1:-1])
        if _is_control(c) or c == "\\"
        else c
        for c in student
    )


def _cell(text: str) -> str:
    """A cell of the table, which no spreadsheet takes for a formula."""
    text = plain(text)
    first = unicodedata.normalize("NFKC", text).lstrip()[:1]
    return f"'{text}" if first in ("=", "+", "-", "@") else text


def _html(text: str, longest: int = _LONGEST) -> str:
    text = plain(text)
    return escape(text if len(text) <= longest else f"{text[:longest]} [...]")


def _lines(text: str) -> str:
    return "\n".join(_html(line.expandtabs(4)) for line in text.splitlines())


def _page(title: str, body: str) -> str:
    policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{_STYLE}</style>
</head>
<body>
{body}
</body>
</html>
"""


def _protected(holds: Mapping[str, bool], limits: Limits) -> str:
    there = [PROTECTIONS[p] for p in PROTECTIONS if holds[p]]
    lacking = [PROTECTIONS[p] for p in PROTECTIONS if not holds[p]]
    there.append(f"{limits.seconds:g} seconds and {limits.memory >> 20:,} MiB for each exercise")
    text = f"Each answer ran in a process of its own. Tried out at the start: {'; '.join(there)}."
    if lacking:
        text += f' <strong class="wrong">Not in force here: {"; ".join(lacking)}.</strong>'
    return f'<p class="soft">{text}</p>'


def _mark(verdict: str, word: bool = True) -> str:
    sign = f'<span aria-hidden="true">{_MARKS[verdict]}</span>'
    said = verdict if word else f'<span class="soft" hidden>{verdict}</span>'
    title = f' title="{verdict}" aria-label="{verdict}" role="img"' if not word else ""
    return f'<span class="mark {_LETTERS[verdict]}"{title}>{sign} {said}</span>'


def _student_page(student: str, results: Sequence[Result], protected: str) -> str:
    name = _html(_name(student), 120)
    right = sum(r.verdict == "ok" for r in results)
    parts = [
        f'<p><a href="../{OVERVIEW}">All students</a></p>',
        f"<h1>{name}: {right} of {len(results)} exercises are ok</h1>",
        protected,
    ]
    for assignment, mine in groupby(results, key=lambda r: r.assignment):
        parts.append(f"<h2>{_html(assignment)}</h2>")
        parts += [_exercise(r) for r in mine]
    return _page(f"{name}: results", "\n".join(parts))


def _exercise(result: Result) -> str:
    title = escape(EXERCISES[result.exercise].title)
    parts = [
        f"<section><h2>{result.exercise} {title}</h2>",
        f"<p>{_mark(result.verdict)}</p>",
    ]
    if result.verdict != "ok":
        parts.append(f"<p>{_html(result.says, 600)}</p>")
    if result.details:
        lines = "\n".join(_html(line.removeprefix("    "), 400) for line in result.details)
        parts.append(f'<pre class="shown">{lines}</pre>')
    if "PermissionError" in result.says:
        parts.append(f'<p class="soft">{_REFUSED}</p>')
    if result.notes:
        notes = "".join(f"<li>{_html(note, 400)}</li>" for note in result.notes[:5])
        parts.append(f'<ul class="soft">{notes}</ul>')
    if result.code:
        code = _lines(result.code)
        parts.append(f"<details><summary>the answer</summary><pre>{code}</pre></details>")
    return "\n".join([*parts, "</section>"])


def _overview(results: Sequence[Result], pages: Mapping[str, str], protected: str) -> str:
    students = list(dict.fromkeys(r.student for r in results))
    counted = Counter(r.verdict for r in results)
    summary = ", ".join(f"{counted[v]} {v}" for v in VERDICTS if counted[v])
    people = f"{len(students)} student{'s' if len(students) != 1 else ''}"
    parts = [
        f"<h1>{people}, {len(results)} answers</h1>",
        f'<p>{summary}. <a href="{TABLE}">The table as {TABLE}</a></p>',
        protected,
        _frequent(results),
    ]
    for assignment in dict.fromkeys(r.assignment for r in results):
        mine = [r for r in results if r.assignment == assignment]
        parts += [f"<h2>{_html(assignment)}</h2>", _grid(mine, pages)]
    used = [v for v in VERDICTS if counted[v]]
    legend = "".join(f"<li>{_mark(v)}: {_MEANS[v]}</li>" for v in used)
    parts.append(f"<h2>What the marks mean</h2><ul>{legend}</ul>")
    return _page(f"{people}: results", "\n".join(parts))


def _frequent(results: Sequence[Result]) -> str:
    """The messages that answers got, the most frequent first."""
    named = Counter((r.exercise, r.misconception) for r in results if r.misconception)
    rest = Counter(
        (r.exercise, r.says) for r in results if r.verdict == "wrong" and not r.misconception
    )
    place = {id: i for i, id in enumerate(EXERCISES)}
    parts = []
    for title, counted in (("Known misconceptions", named), ("Other wrong answers", rest)):
        order = sorted(counted.items(), key=lambda x: (-x[1], place[x[0][0]], x[0][1]))
        items = "".join(
            f"<li><strong>{id}</strong>, {n} answer{'s' if n > 1 else ''}: {_html(says, 400)}</li>"
            for (id, says), n in order[:20]
        )
        parts += [f"<h2>{title}</h2><ul>{items}</ul>"] if items else []
    return "\n".join(parts)


def _grid(results: Sequence[Result], pages: Mapping[str, str]) -> str:
    """Students by exercises."""
    exercises = list(dict.fromkeys(r.exercise for r in results))
    head = "".join(f"<th>{id}</th>" for id in exercises)
    right = Counter(r.exercise for r in results if r.verdict == "ok")
    students = list(dict.fromkeys(r.student for r in results))
    rows = []
    for student, mine in groupby(results, key=lambda r: r.student):
        marks = "".join(f"<td>{_mark(r.verdict, word=False)}</td>" for r in mine)
        link = f'<a href="{STUDENTS}/{pages[student]}">{_html(_name(student), 80)}</a>'
        rows.append(f"<tr><th>{link}</th>{marks}</tr>")
    total = "".join(f"<td>{right[id]} of {len(students)}</td>" for id in exercises)
    rows.append(f"<tr><th>ok</th>{total}</tr>")
    return (
        f'<div class="scroll"><table class="grid"><thead><tr><th>student</th>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )
