"""Versions of code, taken from the code itself.

A version that a person must remember to raise is forgotten. The digest of the
syntax tree changes with every change that can matter, and with no comment,
docstring or layout.
"""

import ast
import hashlib
from functools import cache
from importlib.util import find_spec
from pathlib import Path


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body = node.body[1:]
    return tree


@cache
def source_digest(source: str) -> str:
    """Return the digest of what a piece of Python source does.

    Examples:
        >>> source_digest("x = 1  # one") == source_digest("x=1")
        True
        >>> source_digest("x = 1") == source_digest("x = 2")
        False
    """
    return hashlib.sha256(ast.dump(_without_docstrings(ast.parse(source))).encode()).hexdigest()


def _text_digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


_DIGESTS = {".py": source_digest, ".j2": _text_digest, ".css": _text_digest}
"""How the files of a package count: code by what it does, templates as they are."""


@cache
def code_version(*names: str) -> str:
    """Return the version of some modules and packages (12 hexadecimal digits).

    Args:
        names: Dotted names. A package counts with all modules below it.

    Raises:
        ModuleNotFoundError: There is no such module.
    """
    digests: list[str] = []
    for name in sorted(names):
        spec = find_spec(name)
        if spec is None or spec.origin is None:
            raise ModuleNotFoundError(f"There is no module {name!r} to take a version of.")
        origin = Path(spec.origin)
        is_package = origin.name == "__init__.py"
        files = [f for f in sorted(origin.parent.rglob("*.*")) if f.suffix in _DIGESTS]
        digests += [
            f"{file.name}:{_DIGESTS[file.suffix](file.read_text('utf-8'))}"
            for file in (files if is_package else [origin])
        ]
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()[:12]
