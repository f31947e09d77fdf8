"""What request files and contract files have in common: a mapping, told whole what is wrong."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic_core import ErrorDetails

from automl_assets.core.request.problems import Problem, RequestFileError, find, known_loc
from automl_assets.core.request.text import FORBIDDEN
from automl_assets.core.request.yaml import Node, describe, read_yaml

MAX_PROBLEMS = 500
"""More than anyone mends by hand; the rest is counted."""


@dataclass(frozen=True, kw_only=True)
class Document:
    """A kind of file.

    Attributes:
        what: How messages call one, such as `a request`.
        empty: What to say of an empty file.
        errors: Returns all that is wrong with the values.
        explain: Turns one of them into a problem at its place in the file.
    """

    what: str
    empty: str
    errors: Callable[[dict[str, Any]], list[ErrorDetails]]
    explain: Callable[[ErrorDetails, Node, str], Problem]

    def read(self, text: str, *, filename: str) -> dict[str, Any]:
        """Return the values of a file in which nothing is wrong.

        Raises:
            RequestFileError: Something is; the error holds all of it.
        """
        if found := FORBIDDEN.search(text):
            message = f"the character U+{ord(found[0]):04X} is not allowed; remove it"
            raise RequestFileError([after(text[: found.start()], filename, message)])
        root, misread = read_yaml(text)
        problems = [at(filename, item.line, item.column, item.message) for item in misread]
        if root is None or root.value is None:
            raise RequestFileError(problems or [at(filename, 1, 1, self.empty)])
        if not isinstance(root.value, dict):
            message = f"{self.what} is a mapping of keys; found {describe(root)}"
            raise RequestFileError([*problems, at(filename, root.line, root.column, message)])
        plain = root.plain()
        errors = self.errors(plain)
        if not problems and not errors:
            return plain
        # What YAML misread was told already; what the schema says of the same place is noise.
        told = {(item.line, item.column) for item in problems}
        for error in errors[:MAX_PROBLEMS]:
            problem = self.explain(error, root, filename)
            node = find(root, known_loc(error["loc"], root)) or root
            if not told & {(problem.line, problem.column), (node.line, node.column)}:
                problems.append(problem)
        if len(errors) > MAX_PROBLEMS:
            message = f"and {len(errors) - MAX_PROBLEMS} problems more"
            problems.append(at(filename, len(text.splitlines()) + 1, 1, message))
        raise RequestFileError(problems)


def at(filename: str, line: int, column: int, message: str) -> Problem:
    """Return a problem at a place; both count from 1."""
    return Problem(filename=filename, line=line, column=column, path="", message=message)


def after(before: str, filename: str, message: str) -> Problem:
    """Return a problem at the place that follows a piece of text."""
    last_line = before.rpartition("\n")[2]
    return at(filename, before.count("\n") + 1, len(last_line) + 1, message)
