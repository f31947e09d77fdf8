"""Reading what a user names on the command line."""

from pathlib import Path

from automl_assets.core.errors import RequestError
from automl_assets.core.request.file import MAX_BYTES
from automl_assets.core.request.sections import Data


def read_request_file(path: Path) -> bytes:
    """Return the content of a request file, one byte more than allowed at most.

    Raises:
        RequestError: There is no such file, or it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise RequestError(
            f"{path}:1:1: a request file must be readable; {error.strerror or error}. "
            "Check the name."
        ) from error


def file_data(path: Path, *, sha256: str | None = None) -> Data:
    """Return the `data` section that names a file of the user and says nothing else.

    Args:
        sha256: Any text asks for the digest of all bytes.
    """
    return Data.model_construct(path=str(path.expanduser().absolute()), sha256=sha256)
