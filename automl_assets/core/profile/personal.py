"""Columns that hold personal data: of them no value is kept in what is stored or shown."""

from automl_assets.core.values import ColumnProfile, TableProfile

PERSONAL = "personal data"
"""The rule of a finding about such a column."""


def personal_columns(profile: TableProfile | None) -> frozenset[str]:
    """Return the columns that were found to hold personal data, whatever was done about them."""
    findings = profile.findings if profile else ()
    return frozenset(finding.column for finding in findings if finding.rule == PERSONAL)


def without_values(profile: TableProfile) -> TableProfile:
    """Return the profile without any value of columns that hold personal data.

    Counts, mean and deviation stay: they are of all persons together. Ends, quantiles and
    frequent texts are values of single ones.
    """
    hidden = personal_columns(profile)
    return profile.model_copy(
        update={
            "columns": tuple(
                _without_values(column) if column.name in hidden else column
                for column in profile.columns
            )
        }
    )


def _without_values(column: ColumnProfile) -> ColumnProfile:
    return column.model_copy(update={"minimum": None, "maximum": None, "quantiles": (), "top": ()})
