"""YAML in and out, without the parts of YAML that surprise or harm.

The reader builds a tree from the parser's events, so that every bound holds
before anything is built: no bomb of aliases is expanded, no depth recursed.
Nothing but text, numbers, switches, dates, lists and mappings can come out.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

import yaml

from automl_assets.core.request.scalars import read_plain
from automl_assets.core.request.text import FORBIDDEN, shown

MAX_DEPTH = 20
MAX_ALIASES = 20
MAX_NODES = 20_000
"""Values in one file, with every alias counted as what it stands for."""

_EXPONENT = re.compile(r"[-+]?[0-9][0-9.]*[eE][-+]?[0-9]+$")


@dataclass(frozen=True)
class YamlProblem:
    """What is wrong in the text, and where."""

    line: int
    column: int
    message: str


class _Unreadable(Exception):
    """Reading on would not be safe, or not make sense."""

    def __init__(self, line: int, column: int, message: str) -> None:
        super().__init__(message)
        self.problem = YamlProblem(line, column, message)


@dataclass(frozen=True, kw_only=True)
class Node:
    """A value of the file and its place.

    Attributes:
        value: A scalar, a list of nodes, or a dict from key to (key node, node).
        line: First line, from 1.
        column: First column, from 1.
        text: A scalar as it was written, without quotes.
        size: Number of values in it, itself included.
        depth: Levels of nesting in it; 0 for a scalar.
    """

    value: Any
    line: int
    column: int
    text: str = ""
    size: int = 1
    depth: int = 0

    def plain(self) -> Any:
        """Return the value without places."""
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        if isinstance(self.value, dict):
            return {key: node.plain() for key, (_, node) in self.value.items()}
        return self.value


@dataclass
class _Container:
    """A list or mapping that is still being read."""

    event: Any
    items: list[Node] = field(default_factory=list)
    entries: dict[str, tuple[Node, Node]] = field(default_factory=dict)
    key: Node | None = None
    size: int = 1
    depth: int = 0

    def add(self, node: Node) -> Iterator[YamlProblem]:
        """Take the next value; a mapping gets keys and values by turns."""
        self.size += node.size
        self.depth = max(self.depth, node.depth + 1)
        if isinstance(self.event, yaml.SequenceStartEvent):
            self.items.append(node)
        elif self.key is None:
            self.key = node
            yield from _check_key(node)
        else:
            key, self.key = self.key, None
            if (first := self.entries.get(key.text)) is not None:
                yield YamlProblem(
                    key.line,
                    key.column,
                    f"key {shown(key.text)} appears twice (first on line {first[0].line}); "
                    "remove one",
                )
            else:
                self.entries[key.text] = (key, node)

    def close(self) -> Node:
        """Return the finished value."""
        is_list = isinstance(self.event, yaml.SequenceStartEvent)
        line, column = _place(self.event)
        return Node(
            value=self.items if is_list else self.entries,
            line=line,
            column=column,
            size=self.size,
            depth=self.depth,
        )


class _Reader:
    """Builds one tree from events and keeps what is wrong on the way."""

    def __init__(self) -> None:
        self.problems: list[YamlProblem] = []
        self.root: Node | None = None
        self._open: list[_Container] = []
        self._anchors: dict[str, Node] = {}
        self._n_aliases = 0
        self._n_nodes = 0

    def feed(self, event: yaml.Event) -> None:
        """Take the next event.

        Raises:
            _Unreadable: A bound is reached.
        """
        if isinstance(event, yaml.DocumentStartEvent) and self.root is not None:
            raise _Unreadable(
                *_place(event),
                "one file holds one request; found a second document; write two files",
            )
        if isinstance(event, yaml.AliasEvent):
            self._add(self._named(event))
        elif isinstance(event, yaml.ScalarEvent):
            self._refuse_tag(event)
            node, problem = _read_scalar(event)
            if problem:
                self.problems.append(YamlProblem(node.line, node.column, problem))
            self._finish(event, node)
        elif isinstance(event, yaml.CollectionStartEvent):
            self._refuse_tag(event)
            self._open.append(_Container(event))
            self._refuse_depth(event, 0)
        elif isinstance(event, yaml.CollectionEndEvent):
            container = self._open.pop()
            self._finish(container.event, container.close())

    def _finish(self, event: Any, node: Node) -> None:
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        self._add(node)

    def _add(self, node: Node) -> None:
        self._n_nodes += 1
        if self._n_nodes > MAX_NODES:
            raise _Unreadable(
                node.line, node.column, f"a file holds at most {MAX_NODES} values; found more"
            )
        if self._open:
            self.problems.extend(self._open[-1].add(node))
        else:
            self.root = node

    def _named(self, event: yaml.AliasEvent) -> Node:
        self._n_aliases += 1
        line, column = _place(event)
        if self._n_aliases > MAX_ALIASES:
            raise _Unreadable(
                line, column, f"at most {MAX_ALIASES} aliases; found more; write the values out"
            )
        node = self._anchors.get(event.anchor)
        if node is None:
            raise _Unreadable(
                line, column, f"alias {shown(event.anchor)} names nothing that ends above it"
            )
        self._refuse_depth(event, node.depth)
        self._n_nodes += node.size - 1
        return replace(node, line=line, column=column)

    def _refuse_depth(self, event: yaml.Event, inner: int) -> None:
        if len(self._open) + inner > MAX_DEPTH:
            raise _Unreadable(
                *_place(event), f"at most {MAX_DEPTH} levels of nesting; found more; flatten it"
            )

    def _refuse_tag(self, event: Any) -> None:
        if event.tag is not None:
            message = f"tags are not allowed; found {shown(event.tag)}; remove it"
            self.problems.append(YamlProblem(*_place(event), message))


def read_yaml(text: str) -> tuple[Node | None, list[YamlProblem]]:
    """Read one YAML or JSON document.

    Args:
        text: The file; its length was bounded before.

    Returns:
        The tree, or None if the text is not readable as one; and all problems.
    """
    reader = _Reader()
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            reader.feed(event)
    except _Unreadable as error:
        return None, [*reader.problems, error.problem]
    except yaml.YAMLError as error:
        return None, [*reader.problems, _translated(error)]
    return reader.root, reader.problems


def _translated(error: yaml.YAMLError) -> YamlProblem:
    mark = getattr(error, "problem_mark", None)
    rule = getattr(error, "problem", None) or getattr(error, "reason", None) or "unreadable"
    cure = "indent with spaces" if "'\\t'" in rule else "check indentation, quotes and brackets"
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    return YamlProblem(line, column, f"not valid YAML: {rule}; {cure}")


def _place(event: Any) -> tuple[int, int]:
    return event.start_mark.line + 1, event.start_mark.column + 1


def _check_key(node: Node) -> Iterator[YamlProblem]:
    if node.text == "<<":
        message = "merge keys '<<' are not allowed; write the keys out"
    elif isinstance(node.value, list | dict):
        message = "a key must be text; found a list or a mapping"
    elif not isinstance(node.value, str):
        message = f"a key must be text; found {describe(node)}; write {shown(node.text)} in quotes"
    else:
        return
    yield YamlProblem(node.line, node.column, message)


def _read_scalar(event: yaml.ScalarEvent) -> tuple[Node, str | None]:
    """Return the value of a scalar, and what is wrong with it."""
    line, column = _place(event)
    text = _joined_surrogates(event.value)
    value, problem = text, None
    if found := FORBIDDEN.search(text):
        problem = f"the character U+{ord(found[0]):04X} is not allowed; remove it"
    elif event.implicit[0]:
        value, problem = read_plain(text)
    return Node(value=value, line=line, column=column, text=text), problem


def _joined_surrogates(text: str) -> str:
    """Join the halves that JSON writes for a character beyond U+FFFF."""
    try:
        return text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        return text  # A half without its other; it is refused like a control character.


def describe(node: Node) -> str:
    """Return what a node holds, in words for a message."""
    if isinstance(node.value, list | dict):
        kind = "list" if isinstance(node.value, list) else "mapping"
        return f"a {kind}" if node.value else f"an empty {kind}"
    if node.value is None:
        return "nothing"
    if isinstance(node.value, str):
        return shown(node.value)
    return f"{node.text}, {_KINDS[type(node.value)]}"


_KINDS = {bool: "a switch", int: "a number", float: "a number", date: "a date"}


class _Dumper(yaml.SafeDumper):
    """Writes no aliases, and quotes text that looks like a number to JSON."""

    def ignore_aliases(self, data: Any) -> bool:
        """Return True: each value is written out."""
        return True


_Dumper.add_implicit_resolver("tag:yaml.org,2002:float", _EXPONENT, list("-+0123456789"))


def write_yaml(content: dict[str, Any]) -> str:
    """Write plain values in the order given, so that `read_yaml` returns the same ones."""
    return yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
