"""What a model's numbers depend on beside its data: as recorded, and as it is here."""

from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version

from automl_assets.core.errors import ServiceError
from automl_assets.core.families import load_families
from automl_assets.core.reproduction.result import EnvironmentDifference


def environment_differences(
    recorded: Mapping[str, str], now: Mapping[str, str]
) -> tuple[EnvironmentDifference, ...]:
    """Return what is not as it was recorded, sorted by name.

    Args:
        recorded: As the card has it.
        now: As it is here. What nobody recorded is left out: it tells nothing.

    Examples:
        >>> environment_differences({"numpy": "2.1"}, {"numpy": "2.2", "new": "1"})
        (EnvironmentDifference(name='numpy', recorded='2.1', now='2.2'),)
    """
    return tuple(
        EnvironmentDifference(name=name, recorded=recorded[name], now=now.get(name, ""))
        for name in sorted(recorded)
        if recorded[name] and recorded[name] != now.get(name, "")
    )


def require_families(names: Iterable[str], recorded: Mapping[str, str]) -> None:
    """Check that the libraries of some families are here.

    Args:
        names: Families of the model.
        recorded: Versions of libraries, as the card has them.

    Raises:
        ServiceError: A family or a library is not here.
    """
    families = load_families()
    for name in dict.fromkeys(names):
        if name not in families:
            raise ServiceError(
                f"A model is fitted again by the code of its family, but there is no family "
                f"{name!r} here. Families here: {', '.join(families)}. Reproduce it with the "
                f"code it was made by, {recorded.get('code', 'which was not recorded')}."
            )
        for library in families[name].requirements:
            _require_library(library, name, recorded.get(library, ""))


def _require_library(library: str, family: str, recorded: str) -> None:
    try:
        version(library)
    except PackageNotFoundError as error:
        pin = f"{library}=={recorded}" if recorded else library
        raise ServiceError(
            f"A model of family {family!r} is fitted again by the library {library!r}, but it "
            f"is not installed here. Install {pin}."
        ) from error
