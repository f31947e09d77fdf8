"""What the text of a request cannot tell: whether its data and its contract can be reached."""

from automl_assets.core.ports import DataSources
from automl_assets.core.request import TrainingRequest
from automl_assets.core.request.sections import Data

MAX_CONTRACT_BYTES = 1_000_000


def reach(request: TrainingRequest, sources: DataSources) -> str:
    """Check that requests may read the data and that the contract is well formed.

    No row is read.

    Returns:
        The commit that `data.ref` stands for now; empty where the data are in no repository.

    Raises:
        RequestError: The place is not allowed or unknown, or the contract is not valid.
        SnapshotError: There is no such repository or ref.
        ServiceError: A server does not answer.
    """
    data = sources.pin(request.data)
    sources.check(data)
    text = read_contract(data, sources)
    if text is not None:
        from automl_assets.core.contract import parse_contract

        parse_contract(text, filename=str(data.expect))
    return data.commit or ""


def read_contract(data: Data, sources: DataSources) -> str | None:
    """Return the text of the contract that `data.expect` names, or None if it names none."""
    if data.expect is None:
        return None
    return sources.read_text(data, data.expect, max_bytes=MAX_CONTRACT_BYTES)
