"""Dagster's web UI behind a guard; see docs/decisions/0004-webserver-guard.md.

Dagster's own web server runs any GraphQL mutation that reaches it, over GET as
well, and looks neither at the host a page was opened under nor at the page that
sends a request. So any web site that the user visits could start runs. The
guard lets in what the user's own page sends, and programs on this machine.
"""

import argparse
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders, QueryParams
from starlette.responses import PlainTextResponse
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SAFE_METHODS = ("GET", "HEAD")
POD_CONFIG = "dagster-k8s/"
USER_HEADER = "X-Forwarded-User"
MAX_BODY_BYTES = 8_000_000
REPORTS = "/reports"
REPORT_FILES = ("/report.html", "/card.json", "/card.md")


class Refusal(Exception):
    """A request that the guard turns away.

    Args:
        status: HTTP status.
        message: The rule and the cure, for a person.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Guard:
    """Lets through to an ASGI app only what the user's own page or a local program sends.

    Args:
        app: Dagster's web app.
        hosts: Exact values of the Host header under which it may be opened.
        trust_user_header: A proxy in front sets and strips `X-Forwarded-User`.
            Without one the header is dropped, since anybody can send it.
    """

    def __init__(
        self, app: ASGIApp, *, hosts: Iterable[str], trust_user_header: bool = False
    ) -> None:
        self._app = app
        self._hosts = frozenset(hosts)
        self._trust_user_header = trust_user_header

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a connection, or hand it on."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        try:
            check_connection(scope, self._hosts)
            if scope["type"] == "http" and _is_graphql(scope) and scope["method"] == "POST":
                body = await _read_body(receive)
                check_operation(body)
                receive = _replay(body, receive)
        except Refusal as refusal:
            await _refuse(refusal, scope, receive, send)
            return
        if not self._trust_user_header:
            headers = MutableHeaders(scope=scope)
            del headers[USER_HEADER]
        await self._app(scope, receive, send)


def check_connection(scope: Scope, hosts: frozenset[str]) -> None:
    """Check where a request comes from and how it is sent.

    Raises:
        Refusal: It comes from another site, or is GraphQL in a form that other sites can send.
    """
    headers = Headers(scope=scope)
    host = headers.get("host", "")
    if host not in hosts or len(headers.getlist("host")) != 1:
        raise Refusal(421, f"This server is not {host!r}. Open it as {sorted(hosts)[0]}.")
    if scope["type"] == "websocket" or scope["method"] not in SAFE_METHODS:
        _check_origin(headers, hosts)
    if scope["type"] == "http" and _is_graphql(scope):
        if "query" in QueryParams(scope["query_string"]):
            raise Refusal(405, "GraphQL is taken in the body of a POST, not in the address.")
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if scope["method"] == "POST" and kind != "application/json":
            raise Refusal(415, "GraphQL is taken as application/json.")


def _check_origin(headers: Headers, hosts: frozenset[str]) -> None:
    # Browsers tell the page's origin with every POST and WebSocket; programs do not.
    origin = headers.get("origin")
    if origin is not None and origin.partition("://")[2] not in hosts:
        raise Refusal(403, f"Requests from pages of {origin!r} are not taken.")
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise Refusal(403, "Requests from pages of other sites are not taken.")


def check_operation(body: bytes) -> None:
    """Check that a GraphQL request does not choose the settings of Pods.

    Raises:
        Refusal: It names `dagster-k8s/…` anywhere: these are the operator's alone.
    """
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refusal(400, "GraphQL is taken as a JSON object.") from error
    for text in _texts(content):
        if POD_CONFIG in _unescaped(text):
            raise Refusal(403, f"Settings of Pods ({POD_CONFIG}…) are the operator's alone.")


def _texts(content: Any) -> Iterator[str]:
    waiting = [content]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, dict):
            waiting += [*item.keys(), *item.values()]
        elif isinstance(item, list):
            waiting += item


def _unescaped(text: str) -> str:
    r"""Return text with the escapes of JSON and GraphQL strings taken out.

    Examples:
        >>> _unescaped(r"dagster-k8s\u002fconfig and dagster-k8s\/config")
        'dagster-k8s/config and dagster-k8s/config'
    """
    text = re.sub(
        r"\\u(?:\{0*([0-9A-Fa-f]{1,4})\}|([0-9A-Fa-f]{4}))",
        lambda match: chr(int(match[1] or match[2], 16)),
        text,
    )
    return text.replace("\\/", "/")


def _is_graphql(scope: Scope) -> bool:
    return scope["path"].rstrip("/").endswith("/graphql")


class Reports:
    """Serves the requests' reports below `/reports/`, and hands all else on.

    Only the report and its card are shown; the predictions beside them are not.

    Args:
        app: What answers everything else.
        folder: One folder a request.
    """

    def __init__(self, app: ASGIApp, folder: Path) -> None:
        self._app = app
        self._folder = folder
        files = StaticFiles(directory=folder, check_dir=False)
        self._files = Starlette(routes=[Mount(REPORTS, files)])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request for a report, or hand it on."""
        path = scope["path"] if scope["type"] == "http" else ""
        if not path.startswith(REPORTS):
            await self._app(scope, receive, send)
        # StaticFiles raises where its folder does not exist.
        elif path.endswith(REPORT_FILES) and self._folder.is_dir():
            await self._files(scope, receive, send)
        else:
            await PlainTextResponse("There is no such report.\n", 404)(scope, receive, send)


async def _read_body(receive: Receive) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refusal(400, "The request ended before its body did.")
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > MAX_BODY_BYTES:
            raise Refusal(413, f"GraphQL requests have at most {MAX_BODY_BYTES:,} bytes.")
        if not message.get("more_body", False):
            return b"".join(chunks)


def _replay(body: bytes, receive: Receive) -> Receive:
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return messages.pop() if messages else await receive()

    return replayed


async def _refuse(refusal: Refusal, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008, "reason": str(refusal)})
        return
    response = PlainTextResponse(f"{refusal}\n", status_code=refusal.status)
    await response(scope, receive, send)


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve Dagster's web UI on this machine only; DAGSTER_HOME names the instance."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--workspace", type=Path, required=True, help="a workspace.yaml")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--reports", type=Path, required=True, help="folder of the reports")
    parser.add_argument(
        "--allowed-host", action="append", default=[], help="another Host header to answer to"
    )
    parser.add_argument(
        "--trust-user-header",
        action="store_true",
        help=f"an authenticating proxy in front sets {USER_HEADER}",
    )
    options = parser.parse_args(arguments)
    hosts = [f"127.0.0.1:{options.port}", f"localhost:{options.port}", *options.allowed_host]
    _serve(options, hosts)


def _serve(options: argparse.Namespace, hosts: Sequence[str]) -> None:
    import uvicorn
    from dagster import DagsterInstance

    # Dagster publishes no way to build its web app; the version is pinned to the
    # series in which this was tried, and a move of these names stops the start.
    from dagster._core.workspace.context import WorkspaceProcessContext
    from dagster._core.workspace.load_target import WorkspaceFileTarget
    from dagster_webserver.app import create_app_from_workspace_process_context
    from dagster_webserver.version import __version__

    with (
        DagsterInstance.get() as instance,
        WorkspaceProcessContext(
            instance, WorkspaceFileTarget(paths=[str(options.workspace)]), version=__version__
        ) as context,
    ):
        app = Reports(create_app_from_workspace_process_context(context), options.reports)
        uvicorn.run(
            Guard(app, hosts=hosts, trust_user_header=options.trust_user_header),
            host="127.0.0.1",
            port=options.port,
            log_level="warning",
            timeout_graceful_shutdown=3,  # open pages hold a WebSocket for ever
        )


if __name__ == "__main__":
    main()
