"""Which URLs requests may read: those below one that the operator allows."""

import re
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlsplit

from automl_assets.core.errors import RequestError

DEFAULT_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*")


@dataclass(frozen=True, kw_only=True)
class Address:
    """A URL in its parts, decoded once.

    Attributes:
        scheme: Small letters.
        host: Host or bucket, small letters, without brackets.
        port: None where the scheme has none.
        segments: Of the path, decoded, without empty ones at its ends.
        query: As written.
    """

    scheme: str
    host: str
    port: int | None
    segments: tuple[str, ...]
    query: str

    @property
    def path(self) -> str:
        """The path as servers take it."""
        return "/" + "/".join(quote(segment, safe="=:@!$&'()*+,;~-._") for segment in self.segments)

    @property
    def name(self) -> str:
        """The last segment."""
        return self.segments[-1] if self.segments else ""


def parse_url(url: str, *, what: str = "data.path") -> Address:
    """Return a URL in its parts.

    Raises:
        RequestError: It holds a user, password or fragment, or a path that servers
            may read in more than one way.
    """
    found = _problem(url)
    if found:
        raise RequestError(
            f"{what} must be a plain URL: no user or password, no '..', no encoded slashes. "
            f"It {found}. Correct it."
        )
    parts = urlsplit(url)
    scheme = parts.scheme.lower()
    return Address(
        scheme=scheme,
        host=(parts.hostname or "").lower().rstrip("."),
        port=parts.port or DEFAULT_PORTS.get(scheme),
        segments=tuple(unquote(segment) for segment in parts.path.strip("/").split("/"))
        if parts.path.strip("/")
        else (),
        query=parts.query,
    )


def check_allowed(address: Address, prefixes: tuple[str, ...]) -> None:
    """Raise RequestError unless the URL lies below one that the operator allows."""
    schemes = {"http", "https"} if address.scheme in ("http", "https") else {address.scheme}
    allowed = [parse_url(prefix, what="AUTOML_DATA_URLS") for prefix in prefixes]
    if any(_is_below(address, prefix) for prefix in allowed):
        return
    shown = [text for text, item in zip(prefixes, allowed, strict=True) if item.scheme in schemes]
    raise RequestError(
        "Requests may read from the URLs that the operator allows: "
        f"{', '.join(shown) or 'none of this kind yet'}. "
        f"{address.scheme}://{address.host}{address.path} is not below one of them. "
        "Have the operator add its start to AUTOML_DATA_URLS."
    )


def _is_below(address: Address, prefix: Address) -> bool:
    same_place = (address.scheme, address.host, address.port) == (
        prefix.scheme,
        prefix.host,
        prefix.port,
    )
    return same_place and address.segments[: len(prefix.segments)] == prefix.segments


def _problem(url: str) -> str:
    """Return what is wrong with a URL; the words hold nothing of it that may be secret."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "cannot be read"
    if "@" in parts.netloc:
        return "has a user or password in front of the host; the operator configures those"
    if not _HOST.fullmatch(parts.hostname or ""):
        return "has no host, or one with characters that names of hosts have not"
    if port == 0:
        return "has port 0"
    if parts.fragment or url.endswith("#"):
        return "has a fragment (#)"
    return _path_problem(parts.path)


def _path_problem(path: str) -> str:
    if "\\" in path or any(ord(character) <= 32 or ord(character) == 127 for character in path):
        return "has a space, backslash or control character in its path"
    if re.search(r"%(?![0-9A-Fa-f]{2})", path):
        return "has a % that encodes nothing"
    inner = path.strip("/").split("/") if path.strip("/") else []
    for segment in inner:
        plain = unquote(segment, errors="replace")
        if plain in ("", ".", ".."):
            return f"has {segment!r} as a part of its path"
        if "/" in plain or "\\" in plain or "\ufffd" in plain or min(map(ord, plain)) < 32:
            return f"has {segment!r} in its path, which can be read in two ways"
        if re.search(r"%[0-9A-Fa-f]{2}", plain):
            return f"has {segment!r} in its path, which is encoded twice"
    return ""
