"""A comparison of models as one page for people."""

from automl_assets.core.comparing.models import Comparison
from automl_assets.core.metrics import load_metrics
from automl_assets.core.report.render import templates


def render_comparison(found: Comparison, *, mlflow_url: str | None) -> str:
    """Return one self-contained page without scripts; text from data is escaped.

    Args:
        mlflow_url: Where MLflow compares the same models.
    """
    labels = {name: metric.label for name, metric in load_metrics().items()}
    page = templates().get_template("compare.html.j2")
    return page.render(found=found.model_dump(mode="json"), labels=labels, mlflow_url=mlflow_url)
