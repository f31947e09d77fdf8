"""What other web sites may not do to Dagster's web UI."""

import asyncio
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import EmptyWorkspaceTarget
from dagster_webserver.app import create_app_from_workspace_process_context
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from automl_assets.webserver import MAX_BODY_BYTES, Guard, Reports

HOST = "127.0.0.1:3000"
MUTATION = "mutation{reloadWorkspace{__typename}}"
JSON = {"content-type": "application/json"}


@dataclass(frozen=True)
class Answer:
    status: int
    text: str


def ask(
    app: ASGIApp,
    method: str,
    target: str,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
) -> Answer:
    """Send one HTTP request to an app, without a network."""
    path, _, query = target.partition("?")
    named = {"host": HOST, **(headers or {})}
    scope: Scope = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in named.items()],
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 3000),
    }
    sent = run(app, scope, [{"type": "http.request", "body": body, "more_body": False}])
    text = b"".join(message.get("body", b"") for message in sent[1:])
    return Answer(sent[0]["status"], text.decode())


def open_socket(app: ASGIApp, headers: Mapping[str, str]) -> list[Message]:
    """Open a WebSocket and close it at once; return what the app sent."""
    named = {"host": HOST, **headers}
    scope: Scope = {
        "type": "websocket",
        "scheme": "ws",
        "path": "/graphql",
        "raw_path": b"/graphql",
        "root_path": "",
        "query_string": b"",
        "subprotocols": ["graphql-ws"],
        "headers": [(name.encode(), value.encode()) for name, value in named.items()],
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 3000),
    }
    received: list[Message] = [
        {"type": "websocket.connect"},
        {"type": "websocket.receive", "text": json.dumps({"type": "connection_init"})},
        {"type": "websocket.disconnect", "code": 1000},
    ]
    return run(app, scope, received)


def run(app: ASGIApp, scope: Scope, received: list[Message]) -> list[Message]:
    sent: list[Message] = []
    waiting = list(received)

    async def receive() -> Message:
        if not waiting:
            await asyncio.Event().wait()  # nobody hangs up
        return waiting.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))  # pyright: ignore[reportArgumentType]
    return sent


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the headers and the body that arrived."""
    message = await receive()
    headers = {name.decode(): value.decode() for name, value in scope["headers"]}
    content = {"headers": headers, "body": message.get("body", b"").decode()}
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps(content).encode()})


@pytest.fixture
def dagster_app(tmp_path: Path) -> Iterator[ASGIApp]:
    """Dagster's own web app, with nothing loaded."""
    with (
        dg.DagsterInstance.local_temp(str(tmp_path)) as instance,
        WorkspaceProcessContext(instance, EmptyWorkspaceTarget()) as context,
    ):
        yield create_app_from_workspace_process_context(context)


guarded_echo = Guard(echo, hosts=[HOST, "localhost:3000"])


def test_without_the_guard_any_page_can_run_a_mutation(dagster_app: ASGIApp) -> None:
    # The day this fails, Dagster has closed the hole and the guard may go.
    answer = ask(
        dagster_app,
        "GET",
        f"/graphql?query={MUTATION}",
        {"host": "evil.example", "sec-fetch-site": "cross-site"},
    )

    assert answer.status == 200
    assert "reloadWorkspace" in answer.text


def test_with_the_guard_mutations_run_by_post_only(dagster_app: ASGIApp) -> None:
    app = Guard(dagster_app, hosts=[HOST])

    by_get = ask(app, "GET", f"/graphql?query={MUTATION}")
    by_post = ask(app, "POST", "/graphql", JSON, json.dumps({"query": MUTATION}).encode())

    assert (by_get.status, "in the body of a POST" in by_get.text) == (405, True)
    assert by_post.status == 200
    assert "reloadWorkspace" in by_post.text


def test_pages_and_programs_of_this_machine_are_served() -> None:
    own = {"origin": f"http://{HOST}", "sec-fetch-site": "same-origin"}

    assert ask(guarded_echo, "GET", "/runs").status == 200
    assert ask(guarded_echo, "POST", "/graphql", {**JSON, **own}, b"{}").status == 200
    assert ask(guarded_echo, "POST", "/graphql", JSON, b"{}").status == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "127.0.0.1:3001", "10.evil.com", ""])
def test_a_page_under_another_name_is_refused(host: str) -> None:
    answer = ask(guarded_echo, "GET", "/", {"host": host})

    assert answer.status == 421
    assert f"Open it as {HOST}" in answer.text


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:8080"},
        {"origin": f"http://{HOST}.evil.example"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
@pytest.mark.parametrize("target", ["/graphql", "/report_asset_materialization/model"])
def test_a_post_from_another_site_is_refused(headers: dict[str, str], target: str) -> None:
    answer = ask(guarded_echo, "POST", target, {**JSON, **headers}, b"{}")

    assert answer.status == 403
    assert "are not taken" in answer.text


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_graphql_in_a_form_that_needs_no_permission_is_refused(kind: str) -> None:
    answer = ask(guarded_echo, "POST", "/graphql", {"content-type": kind}, b"{}")

    assert (answer.status, answer.text) == (415, "GraphQL is taken as application/json.\n")


@pytest.mark.parametrize(
    "body",
    [
        rb'{"variables": {"tags": [{"key": "dagster-k8s/config", "value": "{}"}]}}',
        rb'{"variables": {"tags": [{"key": "dagster-k8s\u002fconfig"}]}}',
        rb'{"variables": "{\"tags\": [{\"key\": \"dagster-k8s\\u002fconfig\"}]}"}',
        rb'{"query": "mutation{launchRun(tags: \"dagster-k8s/config\")}"}',
        rb'{"query": "mutation{launchRun(tags: \"dagster-k8s\\u002Fconfig\")}"}',
        rb'{"query": "mutation{launchRun(tags: \"\\u{64}agster-k8s\\/config\")}"}',
    ],
)
def test_nobody_chooses_the_settings_of_pods(body: bytes) -> None:
    answer = ask(guarded_echo, "POST", "/graphql", JSON, body)

    assert answer.status == 403
    assert "are the operator's alone" in answer.text


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000])
def test_graphql_that_is_no_json_is_refused(body: bytes) -> None:
    answer = ask(guarded_echo, "POST", "/graphql", JSON, body)

    assert (answer.status, answer.text) == (400, "GraphQL is taken as a JSON object.\n")


def test_an_endless_body_is_refused() -> None:
    answer = ask(guarded_echo, "POST", "/graphql", JSON, b" " * (MAX_BODY_BYTES + 1))

    assert answer.status == 413


def test_the_body_arrives_unchanged() -> None:
    answer = ask(guarded_echo, "POST", "/graphql", JSON, b'{"query": "{version}"}')

    assert json.loads(answer.text)["body"] == '{"query": "{version}"}'


def test_the_user_header_counts_only_behind_a_proxy() -> None:
    proxied = Guard(echo, hosts=[HOST], trust_user_header=True)
    headers = {"x-forwarded-user": "root"}

    direct_answer = ask(guarded_echo, "GET", "/", headers)
    proxied_answer = ask(proxied, "GET", "/", headers)

    assert "x-forwarded-user" not in json.loads(direct_answer.text)["headers"]
    assert json.loads(proxied_answer.text)["headers"]["x-forwarded-user"] == "root"


def test_a_subscription_of_our_page_is_opened(dagster_app: ASGIApp) -> None:
    sent = open_socket(Guard(dagster_app, hosts=[HOST]), {"origin": f"http://{HOST}"})

    assert sent[0]["type"] == "websocket.accept"
    assert json.loads(sent[1]["text"]) == {"type": "connection_ack"}


def test_a_subscription_of_another_site_is_refused(dagster_app: ASGIApp) -> None:
    sent = open_socket(Guard(dagster_app, hosts=[HOST]), {"origin": "http://evil.example"})

    assert [message["type"] for message in sent] == ["websocket.close"]


async def other(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 418, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def test_reports_are_served_and_what_lies_beside_them_is_not(tmp_path: Path) -> None:
    folder = tmp_path / "reports" / "churn-0123456789"
    folder.mkdir(parents=True)
    (folder / "report.html").write_text("<h1>churn</h1>")
    (folder / "analysis_predictions.parquet").write_text("not for the web")
    (tmp_path / "report.html").write_text("outside")

    app = Reports(other, tmp_path / "reports")
    path = "/reports/churn-0123456789"

    assert ask(app, "GET", f"{path}/report.html") == Answer(200, "<h1>churn</h1>")
    assert ask(app, "GET", f"{path}/analysis_predictions.parquet").status == 404
    assert ask(app, "GET", "/reports/../report.html").status == 404
    assert ask(app, "GET", "/runs").status == 418


def test_reports_of_a_home_that_has_none_are_not_found(tmp_path: Path) -> None:
    app = Reports(other, tmp_path / "reports")

    assert ask(app, "GET", "/reports/churn-0123456789/report.html").status == 404
