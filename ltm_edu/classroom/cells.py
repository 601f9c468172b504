"""Which cells of a notebook an answer needs. This runs in the locked-up process.

The cells of an exercise are needed, and every cell that defines a name that a needed cell uses. Of
the course's own cells only functions, classes and constants are taken, so that no training and no
download runs.
"""

from __future__ import annotations

import ast
import re
import symtable
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, field

_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
_DEFINITIONS = (ast.FunctionDef, ast.ClassDef)


@dataclass(frozen=True)
class Cell:
    """A code cell of a submission.

    Attributes:
        number: its place in the notebook, from 1.
        source: its text.
        exercise: the exercise that it answers, or "".
        own: whether the student has added or changed it.
    """

    number: int
    source: str
    exercise: str = ""
    own: bool = True


@dataclass(frozen=True)
class Step:
    """Something to run: a cell, or one definition of a cell of the course.

    Attributes:
        cell: where it stands.
        tree: what runs, or None if the cell is no Python.
        error: why it is no Python.
        binds: the names that it defines; "*" if nobody knows which.
        uses: the names that it uses.
    """

    cell: Cell
    tree: ast.Module | None
    error: SyntaxError | None = None
    binds: Set[str] = field(default_factory=frozenset)
    uses: Set[str] = field(default_factory=frozenset)


def needed_steps(cells: Iterable[Cell], exercise: str) -> list[Step]:
    """What has to run for the answer to an exercise, in the order of the notebook."""
    steps = [step for cell in cells for step in _steps(cell)]
    chosen = {i for i, s in enumerate(steps) if s.cell.exercise == exercise or "*" in s.binds}
    while True:
        uses = frozenset().union(*(steps[i].uses for i in chosen))
        more = {i for i, s in enumerate(steps) if s.binds & uses} | chosen
        if more == chosen:
            return [steps[i] for i in sorted(chosen)]
        chosen = more


def _steps(cell: Cell) -> list[Step]:
    """What a cell has to offer."""
    try:
        tree = parsed(cell.source)
        if cell.own or cell.exercise:
            return [_step(cell, tree)]
        kept = [s for s in tree.body if isinstance(s, _DEFINITIONS) or _is_constant(s)]
        return [_step(cell, ast.Module([statement], [])) for statement in kept]
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        reason = error if isinstance(error, SyntaxError) else SyntaxError(str(error))
        return [Step(cell, None, reason)]


def _step(cell: Cell, tree: ast.Module) -> Step:
    table = symtable.symtable(ast.unparse(tree), "<cell>", "exec")
    return Step(cell, tree, None, _bound(tree.body), frozenset(_used(table)))


def parsed(source: str) -> ast.Module:
    """The syntax tree of a cell; lines that only a notebook understands are left out.

    Raises:
        SyntaxError: it is no Python.
    """
    try:
        return ast.parse(source)
    except SyntaxError:
        plain = re.sub(r"^([ \t]*)(?:%|!|\?).*$", r"\1pass", source, flags=re.MULTILINE)
        if plain == source:
            raise
    return ast.parse(plain)


def _bound(statements: Sequence[ast.stmt]) -> frozenset[str]:
    """The names that statements define in the scope of the notebook."""
    names: set[str] = set()
    waiting: list[ast.AST] = list(statements)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {alias.asname or alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            names.add(node.id)
        if not isinstance(node, _SCOPES):
            waiting += ast.iter_child_nodes(node)
    return frozenset(names)


def _used(table: symtable.SymbolTable) -> Iterator[str]:
    """The names that a cell takes from the notebook; those that its functions set are not."""
    for symbol in table.get_symbols():
        outside = symbol.is_global() or table.get_type() == "module"
        if outside and symbol.is_referenced():
            yield symbol.get_name()
    for inner in table.get_children():
        yield from _used(inner)


def _is_constant(statement: ast.stmt) -> bool:
    """Whether a statement gives a name to a number, a text, or a list or tuple of them."""
    if not isinstance(statement, ast.Assign):
        return False
    try:
        ast.literal_eval(statement.value)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return False
    return True
