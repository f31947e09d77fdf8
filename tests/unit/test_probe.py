"""The probe set: rows drawn once, predictions known by their digest."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from automl_assets.core import probe as probes
from automl_assets.core.errors import SnapshotError
from automl_assets.core.predictor import load_predictor
from automl_assets.core.probe import (
    MAX_PROBE_ROWS,
    PROBE,
    PROBE_PREDICTIONS,
    Probe,
    make_probe,
    predictions_sha256,
    probe_predictions,
    read_probe,
    write_probe,
)
from tests.releases import committed, real_package


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("probe")
    real_package(folder / "package")
    return folder


def test_a_probe_is_the_same_whenever_it_is_made(folder: Path, tmp_path: Path) -> None:
    data, predictor = committed(tmp_path), load_predictor(folder / "package")

    first, predictions = make_probe(predictor, data.snapshot, data.split, store=data.store, seed=7)
    again, _ = make_probe(predictor, data.snapshot, data.split, store=data.store, seed=7)

    assert first == again
    assert first.predictions_sha256 == predictions_sha256(predictions)
    assert predictions.shape == (first.n_rows, 2)
    assert predictions.dtype == np.float64


def test_a_probe_holds_rows_of_the_analysis_part_only(folder: Path, tmp_path: Path) -> None:
    data, predictor = committed(tmp_path), load_predictor(folder / "package")

    probe, _ = make_probe(predictor, data.snapshot, data.split, store=data.store, seed=0)

    assert list(probe.rows) == data.analysis_rows


def test_of_many_rows_some_are_drawn_by_the_seed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probes, "MAX_PROBE_ROWS", 20)
    data, predictor = committed(tmp_path), load_predictor(folder / "package")

    drawn = [
        make_probe(predictor, data.snapshot, data.split, store=data.store, seed=seed)[0].rows
        for seed in (0, 1)
    ]

    assert [len(rows) for rows in drawn] == [20, 20]
    assert drawn[0] != drawn[1]
    assert all(list(rows) == sorted(set(rows) & set(data.analysis_rows)) for rows in drawn)


def test_a_model_predicts_its_probe_again_as_it_did(folder: Path, tmp_path: Path) -> None:
    data, predictor = committed(tmp_path), load_predictor(folder / "package")
    probe, _ = make_probe(predictor, data.snapshot, data.split, store=data.store, seed=0)

    found = probe_predictions(load_predictor(folder / "package"), probe, data.snapshot, data.store)

    assert predictions_sha256(found) == probe.predictions_sha256


def test_the_digest_is_of_little_endian_float64_row_after_row() -> None:
    array = np.array([[0.25, 0.75], [1.0, 0.0]])

    assert predictions_sha256(array) == predictions_sha256(np.asfortranarray(array))
    assert predictions_sha256(array) == predictions_sha256(array.astype(">f8"))
    assert predictions_sha256(array) != predictions_sha256(array.T)
    half = bytes.fromhex("000000000000e03f")
    assert predictions_sha256(np.array([0.5])) == hashlib.sha256(half).hexdigest()


def test_a_probe_survives_being_written_with_equal_bytes(tmp_path: Path) -> None:
    predictions = np.array([[0.25, 0.75], [0.5, 0.5]])
    probe = Probe(rows=(3, 9), seed=7, predictions_sha256=predictions_sha256(predictions))

    for name in ("a", "b"):
        write_probe(tmp_path / name, probe, predictions)

    found, read = read_probe(tmp_path / "a")
    assert found == probe
    np.testing.assert_array_equal(read, predictions)
    for file in (PROBE, PROBE_PREDICTIONS):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_predictions_that_changed_are_refused(tmp_path: Path) -> None:
    predictions = np.array([0.25, 0.75])
    probe = Probe(rows=(3, 9), seed=7, predictions_sha256=predictions_sha256(predictions))
    write_probe(tmp_path, probe, predictions)
    np.save(tmp_path / PROBE_PREDICTIONS, predictions + 1e-16)

    with pytest.raises(SnapshotError, match=r"must have the digest that probe\.json names"):
        read_probe(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{}", b"\x80\x04K\x01."])
@pytest.mark.parametrize("file", [PROBE, PROBE_PREDICTIONS])
def test_a_damaged_file_is_refused_and_never_unpickled(
    tmp_path: Path, file: str, content: bytes
) -> None:
    predictions = np.array([0.25])
    probe = Probe(rows=(3,), seed=7, predictions_sha256=predictions_sha256(predictions))
    write_probe(tmp_path, probe, predictions)
    (tmp_path / file).write_bytes(content)

    with pytest.raises(SnapshotError, match="one cannot be read"):
        read_probe(tmp_path)


def test_a_probe_is_small() -> None:
    assert MAX_PROBE_ROWS == 2_048
    with pytest.raises(ValueError, match="at most 2048"):
        Probe(rows=tuple(range(2_049)), seed=0, predictions_sha256="")
