"""Starts services, restarts those that die, and stops all of them together."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from automl_assets.cli import reaper
from automl_assets.core.errors import ServiceError

START_SECONDS = 180.0
"""A service answers within a minute on a loaded laptop; imports take most of it."""

MAX_RESTARTS = 5
RESTART_WINDOW_SECONDS = 600.0
TAIL_LINES = 15
MAX_LOG_BYTES = 10_000_000


@dataclass(frozen=True, kw_only=True)
class Service:
    """A program that runs until it is stopped.

    Attributes:
        log: File that takes its output; begun anew above 10 MB, one old one is kept.
        is_ready: Tells whether it answers; never raises.
    """

    name: str
    command: tuple[str, ...]
    log: Path
    is_ready: Callable[[], bool]

    def tail(self) -> str:
        """Return the last lines of the log."""
        lines = self.log.read_text(errors="replace").splitlines()[-TAIL_LINES:]
        return "\n".join(f"    {line}" for line in lines)


@dataclass
class _Running:
    process: subprocess.Popen[bytes]
    restarts: list[float] = field(default_factory=list)
    due: float | None = None


class Supervisor:
    """Runs services as process groups of their own; see `supervised`."""

    def __init__(self, environment: Mapping[str, str], *, keep_open: Sequence[int] = ()) -> None:
        """Start the process that stops everything when this one is gone.

        Args:
            environment: For all services.
            keep_open: Descriptors that stay open until the last service has ended.
        """
        self.is_stopping = False
        self._environment = dict(environment)
        self._keep_open = tuple(keep_open)
        self._running: dict[Service, _Running] = {}
        self._groups: set[int] = set()
        self._reaper = self._start_reaper()

    def start(self, services: Sequence[Service]) -> None:
        """Start services and wait until all of them answer, or until a stop is asked for.

        Raises:
            ServiceError: One ended, or did not answer in time.
        """
        if self.is_stopping:
            return
        deadline = time.monotonic() + START_SECONDS
        for service in services:
            self._running[service] = _Running(self._spawn(service))
        waiting = list(services)
        while waiting and not self.is_stopping:
            for service, running in self._running.items():
                code = running.process.poll()
                if code is not None:
                    raise ServiceError(
                        f"The {service.name} must start, but ended with code {code}. The end of "
                        f"its log {service.log}:\n{service.tail()}"
                    )
            waiting = [service for service in waiting if not service.is_ready()]
            if waiting and time.monotonic() > deadline:
                raise ServiceError(
                    f"The {waiting[0].name} did not answer within {START_SECONDS:.0f} s. The end "
                    f"of its log {waiting[0].log}:\n{waiting[0].tail()}"
                )
            time.sleep(0.1)

    def watch(self) -> None:
        """Restart services that die, until a stop is asked for.

        Raises:
            ServiceError: One died more often than is worth trying.
        """
        while not self.is_stopping:
            for service, running in self._running.items():
                self._mend(service, running, now=time.monotonic())
            self._forget_ended_groups()
            time.sleep(0.2)

    def stop(self) -> None:
        """Stop all services and what they started; returns when they are gone."""
        if self._reaper.poll() is not None:  # somebody killed it: a new one does its work
            self._reaper = self._start_reaper()
            for group in self._groups:
                self._tell(group)
        assert self._reaper.stdin is not None
        self._reaper.stdin.close()
        while self._reaper.poll() is None:
            self._reap()
            time.sleep(0.05)
        self._reap()

    def _mend(self, service: Service, running: _Running, *, now: float) -> None:
        if running.due is not None:
            if now >= running.due:
                running.process, running.due = self._spawn(service), None
            return
        code = running.process.poll()
        if code is None:
            return
        running.restarts = [t for t in running.restarts if now - t < RESTART_WINDOW_SECONDS]
        if len(running.restarts) >= MAX_RESTARTS:
            raise ServiceError(
                f"The {service.name} ended {MAX_RESTARTS + 1} times within "
                f"{RESTART_WINDOW_SECONDS / 60:.0f} minutes, last with code {code}; everything was "
                f"stopped. The end of its log {service.log}:\n{service.tail()}"
            )
        running.due = now + 2.0 ** len(running.restarts)
        running.restarts.append(now)

    def _spawn(self, service: Service) -> subprocess.Popen[bytes]:
        service.log.parent.mkdir(parents=True, exist_ok=True)
        if service.log.exists() and service.log.stat().st_size > MAX_LOG_BYTES:
            service.log.replace(service.log.with_name(f"{service.log.name}.1"))
        with service.log.open("ab") as log:
            process = subprocess.Popen(
                service.command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._groups.add(process.pid)
        self._tell(process.pid)
        return process

    def _start_reaper(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", str(Path(reaper.__file__))],
            stdin=subprocess.PIPE,
            start_new_session=True,
            pass_fds=self._keep_open,
        )

    def _tell(self, group: int) -> None:
        assert self._reaper.stdin is not None
        try:
            self._reaper.stdin.write(f"{group}\n".encode())
            self._reaper.stdin.flush()
        except BrokenPipeError as error:
            raise ServiceError(
                "The process that stops the services was killed; everything was stopped."
            ) from error

    def _reap(self) -> None:
        for running in self._running.values():
            running.process.poll()

    def _forget_ended_groups(self) -> None:
        # Runs outlive a code server that died; their group is kept until they end.
        # Once it is empty its number may go to a stranger, so it is forgotten at once.
        for group in [group for group in self._groups if not reaper.send(group, 0)]:
            self._groups.discard(group)
            self._tell(-group)


@contextmanager
def supervised(
    environment: Mapping[str, str], *, keep_open: Sequence[int] = ()
) -> Iterator[Supervisor]:
    """Yield a supervisor that Ctrl-C, SIGTERM and SIGHUP stop; at the end nothing is left.

    Services inherit the default action of these signals: a handler does not
    survive the start of a program, while "ignore", which shells set for
    background jobs, would, and Dagster would then not stop on SIGTERM.
    """
    supervisor = Supervisor(environment, keep_open=keep_open)

    def ask_to_stop(number: int, frame: FrameType | None) -> None:
        supervisor.is_stopping = True

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    previous = {number: signal.signal(number, ask_to_stop) for number in numbers}
    try:
        yield supervisor
    finally:
        supervisor.stop()
        for number, handler in previous.items():
            signal.signal(number, handler)
