"""A model package in MLflow's layout: what it requires."""

from pathlib import Path

import pytest

from resources import mlflow_model
from resources.mlflow_model import requirements
from resources.mlflow_setup import calling_mlflow

FILES = ("requirements.txt", "conda.yaml", "python_env.yaml")


@pytest.mark.slow
def test_requirements_are_written_as_mlflow_writes_them(tmp_path: Path) -> None:
    data, pins = tmp_path / "data.txt", requirements("lightgbm", "catboost")
    data.write_text("")
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"

    with calling_mlflow("sqlite://", "the test"):
        from mlflow.pyfunc import save_model

        for folder, told in ((theirs, list(pins)), (ours, [mlflow_model._NOT_HERE])):
            save_model(
                path=str(folder),
                loader_module="automl_assets.serving.pyfunc",
                data_path=str(data),
                pip_requirements=told,
            )
    mlflow_model._write_requirements(ours, pins)

    assert [(ours / name).read_text() for name in FILES] == [
        (theirs / name).read_text() for name in FILES
    ]
