"""The words and signs of a predicate: no others reach the parser.

Every word that is not of the language becomes a plain name, so that no grammar
of SQL beyond ours is ever run.
"""

import re
from collections.abc import Sequence
from typing import Any

from automl_assets.core.errors import RequestError
from automl_assets.core.predicate import MAX_DEPTH
from automl_assets.core.request.text import shown

Token = Any
"""A token of sqlglot, which moves its classes between modules."""

_SIGNS = {"=", "==", "<>", "!=", "<", "<=", ">", ">=", "(", ")", ",", "-"}
_WORDS = {"AND", "OR", "NOT", "IN", "BETWEEN", "LIKE", "ILIKE", "ESCAPE", "IS", "NULL"} | {
    "TRUE",
    "FALSE",
}
_REFUSED = {
    "CASE": "CASE is not allowed; join conditions with AND and OR",
    "CAST": "conversions are not allowed: 'CAST'; write the value in the type of the column",
    "EXISTS": "queries are not allowed: 'EXISTS'; compare columns with values",
    "SELECT": "queries are not allowed: 'SELECT'; compare columns with values",
    "WITH": "queries are not allowed: 'WITH'; compare columns with values",
}
_REFUSED_SIGNS = {
    "::": "conversions are not allowed: '::'; write the value in the type of the column",
    ";": "one predicate only: found ';'; remove what follows it",
    "{": "templates are not allowed: '{'; write the value itself",
    ".": "a column is one name: found '.'; write a name that holds a dot in double quotes",
}
_TYPED = {"DATE", "TIMESTAMP"}
_WORD = re.compile(r"[^\W\d]\w*")


def checked_tokens(tokens: Sequence[Token], text: str) -> list[Token]:
    """Return the tokens for the parser, or refuse what the language does not have.

    Args:
        tokens: As sqlglot's tokenizer returns them for `text`.

    Raises:
        RequestError: A word, a sign or a comment is not of the language, or the
            parentheses are too deep.
    """
    checked: list[Token] = []
    depth = run = 0
    for position, token in enumerate(tokens):
        following = tokens[position + 1] if position + 1 < len(tokens) else None
        checked.append(_checked_token(token, following, text))
        depth += {"(": 1, ")": -1}.get(token.text, 0)
        run = run + 1 if token.text.upper() in ("NOT", "-") else 0
        if max(depth, run) > MAX_DEPTH:
            raise too_deep()
    return checked


def _checked_token(token: Token, following: Token | None, text: str) -> Token:
    from sqlglot import tokens

    kinds = tokens.TokenType  # pyright: ignore[reportPrivateImportUsage]

    if token.comments:
        raise RequestError(f"comments are not allowed: {shown(token.comments[0])}; remove it")
    if token.token_type in (kinds.STRING, kinds.NUMBER, kinds.IDENTIFIER):
        return token
    word = token.text.upper()
    if token.text in _SIGNS or word in _WORDS:
        return token
    if token.text == "." and _begins_number(token, following, text):
        return token
    if word in _TYPED and following is not None and following.token_type == kinds.STRING:
        return token
    _refuse(token, following, text)
    # A quoted name means nothing else to the parser, whatever word it is.
    return type(token)(kinds.IDENTIFIER, token.text, token.line, token.col, token.start, token.end)


def _begins_number(token: Token, following: Token | None, text: str) -> bool:
    """Return whether a dot stands before digits and after nothing that it could belong to."""
    before = text[: token.start][-1:]
    after = following is not None and following.start == token.end + 1
    return after and text[token.end + 1].isdigit() and (not before or before in " \t\n\r(,=<>-")


def _refuse(token: Token, following: Token | None, text: str) -> None:
    """Refuse a token that cannot be the name of a column."""
    word = token.text.upper()
    if word in _REFUSED:
        raise RequestError(_REFUSED[word])
    for sign, message in _REFUSED_SIGNS.items():
        if token.text.startswith(sign):
            raise RequestError(message)
    # What is not written as it reads is another kind of text, such as N'x'.
    written = text[token.start : token.end + 1]
    if written != token.text or not _WORD.fullmatch(written):
        raise RequestError(
            f"{shown(written)} at character {token.start + 1} is not allowed; compare columns "
            "with values, and write names with other characters in double quotes"
        )
    if following is not None and following.text == "(":
        raise _function(token.text)


def _function(name: str) -> RequestError:
    return RequestError(f"functions are not allowed: {shown(name)}; compare columns with values")


def too_deep() -> RequestError:
    """Return the error for a predicate with too many levels."""
    return RequestError(
        f"a predicate is at most {MAX_DEPTH} levels deep; found more; join conditions with AND "
        "and OR"
    )
