"""Revision files, read without being run: what they import need not be installed here.

The migration runs in the person's interpreter, which may have libraries that ours has not; and a revision
that imports its application would start that application in our process.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from alembic import util

__all__ = ["read_revision", "revisions_unrun"]

_NAMES = frozenset(("revision", "down_revision", "branch_labels", "depends_on"))
_NEEDED = frozenset(("revision", "down_revision"))


def read_revision(file: Path) -> ModuleType | None:
    """A module with the docstring and the names of a revision file, from its text alone.

    None where a name is not a plain literal, so that only running the file tells. Raises SyntaxError.
    """
    tree = ast.parse(file.read_bytes(), str(file))
    plain = {name: value for statement in tree.body for name, value in _assigned(statement)}
    everywhere = [name for node in ast.walk(tree) for name in _bound(node) if name in _NAMES]
    if not plain.keys() >= _NEEDED or sorted(everywhere) != sorted(plain):
        return None
    module = ModuleType(file.stem, ast.get_docstring(tree, clean=False))
    try:
        for name, value in plain.items():
            setattr(module, name, ast.literal_eval(value))
    except ValueError:
        return None
    vars(module).update(upgrade=_not_run, downgrade=_not_run)
    return module


def _not_run() -> None:
    raise RuntimeError("this revision was read, not run")


def _assigned(statement: ast.stmt) -> Iterator[tuple[str, ast.expr]]:
    """Names of a revision that a statement assigns, each with its value."""
    if isinstance(statement, ast.AnnAssign) and statement.value is not None:
        pairs: list[tuple[ast.expr, ast.expr]] = [(statement.target, statement.value)]
    elif isinstance(statement, ast.Assign):
        pairs = [(target, statement.value) for target in statement.targets]
    else:
        return
    for target, value in pairs:
        if isinstance(target, ast.Name) and target.id in _NAMES:
            yield target.id, value
        elif isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            for inner, part in zip(target.elts, value.elts, strict=False):
                if isinstance(inner, ast.Name) and inner.id in _NAMES:
                    yield inner.id, part


def _bound(node: ast.AST) -> Iterator[str]:
    """Every name that a node gives a value, by assignment or import."""
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.id
    elif isinstance(node, ast.alias):
        yield node.asname or node.name


@contextmanager
def revisions_unrun() -> Iterator[None]:
    """Meanwhile Alembic reads revision files by `read_revision`, and runs those alone that it cannot read."""
    alembics: Any = util
    run = alembics.load_python_file

    def load(folder: str | os.PathLike[str], name: str | os.PathLike[str]) -> Any:
        file = Path(folder, name)
        read = read_revision(file) if file.suffix == ".py" else None
        return run(folder, name) if read is None else read

    alembics.load_python_file = load
    try:
        yield
    finally:
        alembics.load_python_file = run
