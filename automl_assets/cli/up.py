"""`automl up`: the whole platform on this machine, from one terminal."""

import json
import os
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

from automl_assets.cli.home import locked_home, prepare_home
from automl_assets.cli.services import Service, supervised
from automl_assets.core.errors import ServiceError
from automl_assets.core.files import publish_text
from automl_assets.settings import Settings

LOOPBACK = "127.0.0.1"
WEB_PORT, MLFLOW_PORT = 3000, 5000
DAEMON_HEALTH = "{instance{daemonHealth{allDaemonStatuses{required healthy}}}}"


def up(port: int | None) -> int:
    """Run the platform until Ctrl-C, and say where it is."""
    from rich.console import Console

    console = Console(highlight=False)
    settings = Settings()
    console.print(f"home     {settings.root}", soft_wrap=True)
    console.print("starting code server, daemon, web UI and MLflow: about 20 s")

    def tell(urls: Mapping[str, str]) -> None:
        for name, url in urls.items():
            console.print(f"{name:<8} {url}", soft_wrap=True)
        console.print(f"inbox    {settings.inbox_folder}   drop request files here", soft_wrap=True)
        console.print("stop     Ctrl-C; runs that are cut off go on at the next start")

    code = run_services(settings, port=port, on_ready=tell)
    console.print("stopped")
    return code


def run_services(
    settings: Settings,
    *,
    port: int | None = None,
    on_ready: Callable[[dict[str, str]], None],
    module: str = "automl_assets.definitions",
) -> int:
    """Run code server, daemon, guarded web UI and MLflow until a signal asks to stop.

    Call it from the main thread: it handles SIGINT, SIGTERM and SIGHUP. When it
    returns, or however this process ends, nothing it started is left running.

    Args:
        settings: Where the home is; at most one platform runs on it.
        port: Of the web UI; a free one if None.
        on_ready: Called once everything answers, with addresses by name
            (`web`, `mlflow`).
        module: What the code server loads.

    Returns:
        0: stopping is how it ends well.

    Raises:
        ServiceError: Another platform runs on this home, the port is taken, or
            a service does not start or stay up; the end of its log is in the message.
    """
    with locked_home(settings) as lock:
        prepare_home(settings)
        web_port = _free_port(WEB_PORT) if port is None else _checked_port(port)
        urls = {"web": f"http://{LOOPBACK}:{web_port}", "mlflow": _mlflow_url(settings)}
        environment = _environment(settings, urls)
        with supervised(environment, keep_open=[lock.descriptor]) as supervisor:
            mlflow = _mlflow(settings, urls["mlflow"], environment)
            supervisor.start([_code_server(settings, module), *mlflow])
            # The daemon comes last: a run must not find MLflow half set up.
            supervisor.start([_web(settings, web_port), _daemon(settings, urls["web"])])
            if not supervisor.is_stopping:
                lock.announce(urls)
                on_ready(urls)
            supervisor.watch()
    return 0


def _environment(settings: Settings, urls: Mapping[str, str]) -> dict[str, str]:
    return {
        **os.environ,
        "AUTOML_MAX_WORKERS": str(settings.max_workers),
        "AUTOML_UI_URL": urls["web"],
        "AUTOML_HOME": str(settings.root),
        "AUTOML_DATA_ROOTS": os.pathsep.join(map(str, settings.allowed_data_roots)),
        "AUTOML_MLFLOW_TRACKING_URI": settings.tracking_uri,
        "AUTOML_MLFLOW_UI_URL": urls["mlflow"],
        "DAGSTER_HOME": str(settings.dagster_home),
        "DAGSTER_DISABLE_TELEMETRY": "yes",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MPLCONFIGDIR": str(settings.root / "cache" / "matplotlib"),
        "PYTHONUNBUFFERED": "1",
        # Our packages come from where this module is, never from the current folder.
        "PYTHONPATH": os.pathsep.join(
            filter(None, [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH")])
        ),
    }


def _script(name: str) -> str:
    return str(Path(sysconfig.get_path("scripts")) / name)


def _code_server(settings: Settings, module: str) -> Service:
    port = _free_port()
    publish_text(
        _workspace(settings),
        f"load_from:\n  - grpc_server: {{host: {LOOPBACK}, port: {port}, location_name: automl}}\n",
    )
    code = ("-m", module, "--location-name", "automl")
    address = ("-h", LOOPBACK, "-p", str(port), "--empty-working-directory")
    return Service(
        name="code server",
        command=(_script("dagster"), "api", "grpc", *code, *address),
        log=settings.root / "logs" / "code-server.log",
        is_ready=lambda: _listens(port),
    )


def _daemon(settings: Settings, web_url: str) -> Service:
    return Service(
        name="daemon",
        command=(_script("dagster-daemon"), "run", "-w", str(_workspace(settings))),
        log=settings.root / "logs" / "daemon.log",
        is_ready=lambda: _daemon_beats(web_url),
    )


def _web(settings: Settings, port: int) -> Service:
    arguments = ("--workspace", str(_workspace(settings)), "--port", str(port))
    arguments += ("--reports", str(settings.reports_folder))
    return Service(
        name="web UI",
        command=(sys.executable, "-P", "-m", "automl_assets.webserver", *arguments),
        log=settings.root / "logs" / "web.log",
        is_ready=lambda: _answers(f"http://{LOOPBACK}:{port}/server_info"),
    )


def _mlflow(settings: Settings, url: str, environment: Mapping[str, str]) -> list[Service]:
    """Return the MLflow server, or nothing where the operator has one."""
    if settings.mlflow_tracking_uri is not None and settings.mlflow_tracking_uri.startswith("http"):
        return []
    _make_mlflow_database(settings, environment)
    address = url.removeprefix("http://")
    port = address.partition(":")[2]
    artifacts = (settings.mlflow_folder / "artifacts").as_uri()
    options = {
        "--host": LOOPBACK,
        "--port": port,
        "--workers": "1",
        "--backend-store-uri": settings.tracking_uri,
        "--artifacts-destination": artifacts,
        "--default-artifact-root": artifacts,
        # The defaults of both let pages of other sites in under some names.
        "--allowed-hosts": f"{address},localhost:{port}",
        "--cors-allowed-origins": f"{url},http://localhost:{port}",
        "--x-frame-options": "DENY",
    }
    arguments = (text for option in options.items() for text in option)
    return [
        Service(
            name="MLflow server",
            command=(_script("mlflow"), "server", *arguments),
            log=settings.root / "logs" / "mlflow.log",
            is_ready=lambda: _answers(f"{url}/health"),
        )
    ]


def _make_mlflow_database(settings: Settings, environment: Mapping[str, str]) -> None:
    """Make MLflow's database whole before its server opens it."""
    folders = {
        "artifact_folder": str(settings.mlflow_folder / "artifacts"),
        "lock_folder": str(settings.root / "locks"),
    }
    code = (
        "from resources.model_registry import MlflowModelRegistry\n"
        f"MlflowModelRegistry(tracking_uri={settings.tracking_uri!r}, **{folders!r}).client()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=dict(environment),
        capture_output=True,
        text=True,
        start_new_session=True,  # Ctrl-C stops us after it, not it before it is done
    )
    if done.returncode != 0:
        raise ServiceError(
            f"MLflow's database at {settings.tracking_uri} cannot be made:\n{done.stderr[-2000:]}"
        )


def _mlflow_url(settings: Settings) -> str:
    given = settings.mlflow_tracking_uri
    if given is not None and given.startswith("http"):
        return settings.mlflow_ui_url or given
    return f"http://{LOOPBACK}:{_free_port(MLFLOW_PORT)}"


def _workspace(settings: Settings) -> Path:
    return settings.root / "workspace.yaml"


def _free_port(preferred: int = 0) -> int:
    """Return a port that nothing uses: the preferred one if it is free."""
    for candidate in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, candidate))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise ServiceError("No port is free on this machine. Stop programs that listen on many.")


def _checked_port(port: int) -> int:
    if _free_port(port) != port:
        raise ServiceError(f"Port {port} is used by another program. Choose another --port.")
    return port


def _listens(port: int) -> bool:
    try:
        with socket.create_connection((LOOPBACK, port), timeout=1):
            return True
    except OSError:
        return False


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=2) as response:
            return response.status == 200
    except (URLError, OSError):
        return False


def _daemon_beats(web_url: str) -> bool:
    """Tell whether the daemon works, as the web UI sees it."""
    request = Request(
        f"{web_url}/graphql",
        data=json.dumps({"query": DAEMON_HEALTH}).encode(),
        headers={"Content-Type": "application/json"},
    )
    try:
        with urlopen(request, timeout=5) as response:
            health = json.load(response)["data"]["instance"]["daemonHealth"]
    except (URLError, OSError):
        return False
    return all(item["healthy"] for item in health["allDaemonStatuses"] if item["required"])
