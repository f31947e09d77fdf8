"""How a model is named on the command line."""

from automl_assets.core.errors import RequestError


def split_reference(model: str) -> tuple[str, str | None]:
    """Return the name of a model, and what follows `@`; None stands for the newest version.

    Raises:
        RequestError: One of the two is empty, so that the newest version is never taken for
            one that was meant and not said.
    """
    name, at, version = model.partition("@")
    if not name or (at and not version):
        raise RequestError(
            "A model is NAME, or NAME@ and a version number, a semantic version or an alias, but "
            f"found {model!r}. Write it like churn, churn@12, churn@1.2.0 or churn@champion."
        )
    return name, version or None
