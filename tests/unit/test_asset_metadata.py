"""What Dagit shows of an asset's value."""

from automl_assets.assets.metadata import report_metadata
from automl_assets.core.values import EvaluationReport, MetricEstimate


def test_intervals_of_the_metrics_are_named_by_the_confidence_that_they_have() -> None:
    estimate = MetricEstimate(
        metric="roc_auc", value=0.7, low=0.6, high=0.8, method="DeLong", n_rows=90, confidence=0.975
    )
    report = EvaluationReport(
        card_sha256="ab" * 32,
        folder="report",
        verdict=("It is better.",),
        metrics=(estimate,),
        baseline=(estimate,),
        better_than_baseline=True,
    )

    shown = report_metadata(report, path="report.html", url=None)

    (row,) = shown["metrics"].records
    assert row.data["97.5% interval"] == "[0.6, 0.8]"
