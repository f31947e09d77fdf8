"""Requests on disk: the inbox that people drop files into, and the accepted ones."""

import errno
import hashlib
import logging
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from automl_assets.core.errors import RequestError
from automl_assets.core.files import fsync_path, publish_text, publishing
from automl_assets.core.inbox import InboxFile, RequestInbox
from automl_assets.core.inventory import INVENTORY, inventory_text
from automl_assets.core.request.file import MAX_BYTES
from automl_assets.core.values import AcceptedRequest

if TYPE_CHECKING:
    from automl_assets.core.request import TrainingRequest

_logger = logging.getLogger(__name__)

SUFFIXES = (".yaml", ".yml", ".json")
SETTLE_SECONDS = 2.0
LOOK_SECONDS = 0.2


class RequestStore(dg.ConfigurableResource, RequestInbox):
    """Keeps the inbox and, in one folder each, the requests that were accepted.

    `<requests_folder>/<request id>/` holds `request.yaml` (as it was written),
    `accepted.json`, `source.txt`, and in `files.json` their digests; it appears whole and
    never changes. The folder
    lies directly in the platform's home, which requests may not read from.
    """

    requests_folder: str
    inbox_folder: str

    def submit(self, text: str, filename: str, *, again: bool = True) -> Path:
        """Put a request into the inbox; the same text gets the same name."""
        name = Path(filename)
        if name.suffix not in SUFFIXES or name.name.startswith("."):
            raise RequestError(
                f"Request files end in {', '.join(SUFFIXES)} and are not hidden; "
                f"found {name.name!r}. Rename the file."
            )
        digest = hashlib.sha256(text.encode()).hexdigest()[:8]
        path = Path(self.inbox_folder) / f"{name.stem}.{digest}{name.suffix}"
        if again or not path.exists():
            publish_text(path, text)
        return path

    def pending(self, *, now: datetime, limit: int = 50) -> list[InboxFile]:
        """Return files that are settled and not rejected, oldest first.

        Settled means: not written for two seconds, and the same in two looks.
        Files that cannot be read (links, pipes, folders) come with the reason.
        """
        looks: list[InboxFile] = []
        for path in self._settled_paths(now):
            file = _look(path)
            if file is not None and not _is_rejected(file):
                looks.append(file)
            if len(looks) == limit:
                break
        if not looks:
            return []
        time.sleep(LOOK_SECONDS)
        return [file for file in looks if _look(file.path) == file]

    def accept(
        self,
        request: "TrainingRequest",
        *,
        text: str,
        source: str,
        now: datetime,
        data_commit: str = "",
    ) -> AcceptedRequest:
        """Keep a request for good; the first acceptance wins and is returned ever after."""
        accepted = AcceptedRequest(
            request_id=request.request_id,
            request_sha256=request.sha256,
            accepted_at=now.astimezone(UTC).isoformat(timespec="seconds"),
            request=request,
            data_commit=data_commit,
        )
        files = {
            "request.yaml": text,
            "accepted.json": accepted.model_dump_json(indent=2) + "\n",
            "source.txt": source + "\n",
        }
        files[INVENTORY] = inventory_text(
            {name: hashlib.sha256(content.encode()).hexdigest() for name, content in files.items()}
        )
        _publish_folder(Path(self.requests_folder) / accepted.request_id, files)
        accepted = self._read(accepted.request_id)
        self._watch(accepted)
        return accepted

    def is_known(self, request_id: str) -> bool:
        """Return whether a request with this id was accepted."""
        return (Path(self.requests_folder) / Path(request_id).name / "accepted.json").is_file()

    def templates(self) -> list[AcceptedRequest]:
        """Return the newest request of each model name that asks for retraining."""
        try:
            names = sorted(os.listdir(self._templates_folder))
        except FileNotFoundError:
            return []
        newest = [self._newest(name) for name in names if not name.startswith(".")]
        return [accepted for accepted in newest if accepted and _asks_for_retraining(accepted)]

    @property
    def _templates_folder(self) -> Path:
        # Hidden, so that no request id is taken for it. One small file a model name: a tick
        # of the sensor must not read every request that was ever accepted.
        return Path(self.requests_folder) / ".newest"

    def _watch(self, accepted: AcceptedRequest) -> None:
        """Note the newest request of a name, from the first one that asks for retraining on."""
        known = self._newest(accepted.request.name)
        if known is None and not _asks_for_retraining(accepted):
            return
        if known is None or known.accepted_at <= accepted.accepted_at:
            file = self._templates_folder / accepted.request.name
            publish_text(file, accepted.request_id + "\n")

    def _newest(self, name: str) -> AcceptedRequest | None:
        """Return the newest request of a name, if one was noted and can still be read."""
        file = self._templates_folder / name
        try:
            return self._read(file.read_text(encoding="utf-8").strip())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:  # one that is damaged must not stop the others
            _logger.warning("the newest request of %r cannot be read: %s", name, error)
            return None

    def _read(self, request_id: str) -> AcceptedRequest:
        path = Path(self.requests_folder) / request_id / "accepted.json"
        return AcceptedRequest.model_validate_json(path.read_text(encoding="utf-8"))

    def load(self, request_id: str) -> AcceptedRequest:
        """Return an accepted request."""
        known = self.list_ids()
        # Only a name that was listed becomes a path: ids come from tags and command lines.
        if request_id not in known:
            near = get_close_matches(request_id, known, n=3, cutoff=0.4)
            hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
            raise RequestError(
                f"A request is named by its id; {request_id!r} is not among the {len(known)} "
                f"accepted in {self.requests_folder}.{hint} `automl list` shows them all."
            )
        return self._read(request_id)

    def text(self, request_id: str) -> str:
        """Return an accepted request as it was written.

        Raises:
            RequestError: There is none with this id; the message lists near ids.
        """
        path = Path(self.requests_folder) / self.load(request_id).request_id / "request.yaml"
        return path.read_text(encoding="utf-8")

    def files(self, request_id: str) -> dict[str, bytes]:
        """Return the files that were written when a request was accepted, as they are now."""
        if request_id not in self.list_ids():
            self.load(request_id)  # says what there is
        folder = Path(self.requests_folder) / request_id
        return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}

    def list_ids(self) -> list[str]:
        """Return the ids of all accepted requests, sorted."""
        try:
            names = os.listdir(self.requests_folder)
        except FileNotFoundError:
            return []
        return sorted(name for name in names if not name.startswith("."))

    def reject(self, file: InboxFile, message: str) -> None:
        """Write why a file was refused beside it; it is not tried again until it changes."""
        with publishing(_note(file.path)) as temporary:
            temporary.write_text(
                f"{file.path.name} was not accepted, and nothing was run.\n\n{message}\n\n"
                "Mend the file where it is, or save it again: it is then read again.\n"
                f"fingerprint: {file.fingerprint}\n",
                encoding="utf-8",
            )
            temporary.chmod(0o644)  # for whoever dropped the file

    def forget(self, file: InboxFile) -> None:
        """Remove a file whose run exists, and the note of an earlier refusal."""
        if _look(file.path) == file:
            file.path.unlink(missing_ok=True)
            _note(file.path).unlink(missing_ok=True)

    def _settled_paths(self, now: datetime) -> Iterator[Path]:
        found: list[tuple[float, Path]] = []
        try:
            entries = list(os.scandir(self.inbox_folder))
        except FileNotFoundError:
            return
        for entry in entries:
            path = Path(entry.path)
            if path.suffix not in SUFFIXES or path.name.startswith("."):
                continue
            try:
                # Not mtime: `cp -p`, rsync and archives set that to any time they like.
                changed = entry.stat(follow_symlinks=False).st_ctime
            except FileNotFoundError:
                continue
            # A change in the future means that the clock was set back: the two looks decide.
            if not 0 <= now.timestamp() - changed < SETTLE_SECONDS:
                found.append((changed, path))
        yield from (path for _, path in sorted(found))


def _look(path: Path) -> InboxFile | None:
    """Read a file without following links, waiting on pipes or reading without end."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return None
    try:
        content, problem = _read(path, status)
    except FileNotFoundError:
        return None
    except OSError as error:
        reason = "it is a link" if error.errno == errno.ELOOP else error.strerror
        content, problem = b"", f"The file cannot be read: {reason}."
    digest = hashlib.sha256(content + (problem or "").encode()).hexdigest()
    return InboxFile(
        path=path,
        content=content,
        fingerprint=f"{digest} {status.st_size} {status.st_mtime_ns}",
        problem=problem,
    )


def _read(path: Path, status: os.stat_result) -> tuple[bytes, str | None]:
    """Return the bytes of a regular file, or why there are none."""
    if not stat.S_ISREG(status.st_mode):
        return b"", (
            "The inbox takes regular files; this is a link, a folder, a pipe or a device. "
            "Copy the request file itself into the inbox."
        )
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with open(os.open(path, flags), "rb") as file:
        if not os.path.samestat(status, os.fstat(file.fileno())):
            raise FileNotFoundError(path)  # replaced just now: look again on the next tick
        return file.read(MAX_BYTES + 1), None


def _asks_for_retraining(accepted: AcceptedRequest) -> bool:
    monitor = accepted.request.monitor
    when = monitor.retrain_when if monitor else None
    return when is not None and when.data is not None


def _note(path: Path) -> Path:
    return path.with_name(f"{path.name}.rejected.txt")


def _is_rejected(file: InboxFile) -> bool:
    try:
        lines = _note(file.path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return False
    return bool(lines) and lines[-1] == f"fingerprint: {file.fingerprint}"


def _publish_folder(folder: Path, files: dict[str, str]) -> None:
    """Make a folder with its files appear at once; one that is there stays as it is."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".") as scratch:
        whole = Path(scratch) / folder.name
        whole.mkdir()
        for name, content in files.items():
            (whole / name).write_text(content, encoding="utf-8")
            fsync_path(whole / name)
        fsync_path(whole)
        try:
            whole.rename(folder)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
            return
        fsync_path(folder.parent)
