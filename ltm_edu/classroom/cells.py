"""Which cells of a notebook an answer needs. This runs in the locked-up process.

The cells of an exercise are needed, and every cell that defines a name that a needed cell uses. Of
the course's own cells only functions, classes and constants are taken, so that no training and no
download runs.
"""

from __future__ import annotations

import ast
import symtable
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, field

_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
_DEFINITIONS = (ast.FunctionDef, ast.ClassDef)
_RUNS_PYTHON = ("time", "timeit", "capture", "prun")


@dataclass(frozen=True)
class Cell:
    """A code cell of a submission.

    Attributes:
        number: its place in the notebook, from 1.
        source: its text.
        exercises: the exercises that it answers.
        own: whether the student has added or changed it.
    """

    number: int
    source: str
    exercises: Sequence[str] = ()
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
        changes: the names of which it sets an item or an attribute.
    """

    cell: Cell
    tree: ast.Module | None
    error: SyntaxError | None = None
    binds: Set[str] = field(default_factory=frozenset)
    uses: Set[str] = field(default_factory=frozenset)
    changes: Set[str] = field(default_factory=frozenset)


def needed_steps(cells: Iterable[Cell], exercise: str) -> list[Step]:
    """What has to run for the answer to an exercise, in the order of the notebook.

    Of the cells after the exercise, only those are taken that define what no cell before does.
    """
    steps = [step for cell in cells for step in _steps(cell)]
    answers = {i for i, s in enumerate(steps) if exercise in s.cell.exercises}
    chosen = answers | {i for i, s in enumerate(steps) if "*" in s.binds}
    last = max(answers, default=len(steps))
    before = frozenset().union(*(s.binds for s in steps[: last + 1]))
    after = frozenset().union(*(s.binds for s in steps)) - before
    while True:
        uses = frozenset().union(*(steps[i].uses for i in chosen))
        more = chosen | {
            i
            for i, s in enumerate(steps)
            if (s.binds | s.changes) & uses & (before if i <= last else after)
        }
        if more == chosen:
            return [steps[i] for i in sorted(chosen)]
        chosen = more


def _steps(cell: Cell) -> list[Step]:
    """What a cell has to offer."""
    try:
        tree = parsed(cell.source)
        if cell.own or cell.exercises:
            return [_step(cell, tree)]
        kept = [s for s in tree.body if isinstance(s, _DEFINITIONS) or _is_constant(s)]
        return [_step(cell, ast.Module([statement], [])) for statement in kept]
    except (SyntaxError, ValueError, RuntimeError, MemoryError) as error:
        reason = error if isinstance(error, SyntaxError) else SyntaxError(str(error))
        return [Step(cell, None, reason)]


def _step(cell: Cell, tree: ast.Module) -> Step:
    table = symtable.symtable(ast.unparse(tree), "<cell>", "exec")
    binds, changes = _bound(tree.body)
    return Step(cell, tree, None, binds, frozenset(_used(table)), changes)


def parsed(source: str) -> ast.Module:
    """The syntax tree of a cell, in which IPython's own commands are calls of `get_ipython()`.

    Of a cell that begins with `%%`, the lines below are taken if the command runs them as Python.

    Raises:
        SyntaxError: it is no Python.
    """
    first, _, rest = source.lstrip().partition("\n")
    if first.startswith("%%"):
        command = first[2:].split()[:1]
        return parsed(f"\n{rest}") if command and command[0] in _RUNS_PYTHON else ast.parse("")
    try:
        return ast.parse(source)
    except SyntaxError:
        plain = _as_python(source)
        if plain.strip() == source.strip():
            raise
    return ast.parse(plain)


def _as_python(source: str) -> str:
    """A cell without IPython's own notation, if IPython is there: it comes with the notebooks."""
    try:
        from IPython.core.inputtransformer2 import TransformerManager
    except ImportError:
        return source
    return TransformerManager().transform_cell(source)


def _bound(statements: Sequence[ast.stmt]) -> tuple[frozenset[str], frozenset[str]]:
    """The names that statements define in the scope of the notebook, and those that they change.

    A name is changed where an item or an attribute of its value is set.
    """
    names: set[str] = set()
    changed: set[str] = set()
    waiting: list[ast.AST] = list(statements)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {alias.asname or alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            names.add(node.id)
        elif isinstance(node, ast.Subscript | ast.Attribute) and not isinstance(node.ctx, ast.Load):
            root: ast.expr = node
            while isinstance(root, ast.Subscript | ast.Attribute):
                root = root.value
            if isinstance(root, ast.Name):
                changed.add(root.id)
        if not isinstance(node, _SCOPES):
            waiting += ast.iter_child_nodes(node)
    return frozenset(names), frozenset(changed)


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
