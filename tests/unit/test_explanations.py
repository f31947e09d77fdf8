"""Explanations say what the model uses, add up, and show no personal value."""

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from automl_assets.core.composite import CompositeMember, CompositeModel
from automl_assets.core.encoding import ColumnEncoding
from automl_assets.core.evaluation.examination import Examined
from automl_assets.core.evaluation.explaining import cases, shap
from automl_assets.core.evaluation.explaining.columns import RawFeatures, raw_features
from automl_assets.core.evaluation.explaining.correlated import correlated_groups, ranks
from automl_assets.core.evaluation.explaining.dependence import affordable_grid, dependence
from automl_assets.core.evaluation.explaining.result import Explanations
from automl_assets.core.evaluation.importance import permutation_importance, with_rare_classes
from automl_assets.core.evaluation.sections.explanations import SECTION, examine
from automl_assets.core.feature_sets import FeatureTransform
from automl_assets.core.feature_sets.transform import Projection
from automl_assets.core.metrics import load_metrics
from automl_assets.core.predictor import Predictor
from automl_assets.core.profile.personal import PERSONAL
from automl_assets.core.report.figures import draw_pictures
from automl_assets.core.report.render import templates
from automl_assets.core.report.section_pictures.explanations import PICTURES
from automl_assets.core.request.release import Explain
from automl_assets.core.values import Finding
from tests.examinations import make_examined

TASKS = ("binary", "multiclass", "regression")
USED = {"age", "income", "plan"}


@pytest.fixture(scope="module")
def winners() -> dict[str, Examined]:
    asked = {"explain": {"local": "shap"}}
    return {task: make_examined(task, n_rows=1_600, asked=asked) for task in TASKS}


def asking(examined: Examined, **explain: Any) -> Examined:
    section = Explain.model_validate(explain)
    return replace(examined, request=examined.request.model_copy(update={"explain": section}))


def with_model(examined: Examined, model: Any) -> Examined:
    old = examined.predictor
    return replace(examined, predictor=Predictor(old.manifest, old.preprocessing, model))


def explained(examined: Examined) -> Explanations:
    found = examine(examined)
    assert isinstance(found, Explanations)
    return found


def column(position: int, kind: str = "numeric", **about: Any) -> RawFeatures:
    encoding = ColumnEncoding(name=f"x{position}", kind=kind, dtype="Float64", **about)  # type: ignore[arg-type]
    return RawFeatures(encoding=encoding, positions=(position,))


def columns(n: int) -> dict[str, RawFeatures]:
    return {f"x{position}": column(position) for position in range(n)}


# --- importance ----------------------------------------------------------------------------------


@pytest.mark.parametrize("task", TASKS)
def test_the_columns_that_make_the_target_matter_and_noise_does_not(winners, task) -> None:
    found = explained(winners[task])

    assert {item.name for item in found.importance[:3]} == USED
    assert {item.name for item in found.contributions.columns[:3]} == USED
    assert all(item.is_useful for item in found.importance[:3])
    noise = next(item for item in found.importance if item.name == "noise")
    assert noise.mean < 0.05 * found.importance[0].mean


def test_columns_that_say_the_same_hide_each_other_unless_they_are_shuffled_together() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 3)).astype(np.float32)
    X[:, 1] = X[:, 0] + 0.01 * X[:, 1]
    y = X[:, 0].astype(np.float64)

    def loss(**options: Any) -> float:
        found = permutation_importance(
            lambda X: X[:, :2].mean(axis=1), X, y, load_metrics()["rmse"], seed=0, **options
        )
        return found[0].mean

    alone = loss(feature_names=["a", "b", "c"])
    together = loss(feature_names=["a", "c"], groups=[(0, 1), (2,)])

    assert together == pytest.approx(np.sqrt(2), rel=0.1)
    assert alone == pytest.approx(together / 2, rel=0.1)


def test_a_wider_confidence_widens_intervals_and_not_the_noise() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 1)).astype(np.float32)
    arguments: Any = {"feature_names": ["a"], "seed": 0}

    usual, wide = (
        permutation_importance(
            lambda X: X[:, 0], X, X[:, 0], load_metrics()["mae"], confidence=c, **arguments
        )[0]
        for c in (0.95, 0.999)
    )

    assert wide.high - wide.low > 1.5 * (usual.high - usual.low)
    assert wide.noise == usual.noise


@given(st.integers(0, 5), st.integers(2, 40), st.integers(2, 4))
def test_rare_classes_are_added_and_no_row_twice(seed: int, n_chosen: int, n_classes: int) -> None:
    rng = np.random.default_rng(seed)
    y = np.where(rng.random(200) < 0.02, rng.integers(1, n_classes, 200), 0)
    chosen = np.sort(rng.choice(200, n_chosen, replace=False))

    rows = with_rare_classes(chosen, y, n_classes=n_classes, seed=seed)

    assert set(chosen) <= set(rows)
    assert len(set(rows)) == len(rows)
    least = min(50, n_chosen // (2 * n_classes))
    for label in range(n_classes):
        assert (y[rows] == label).sum() >= min(least, (y == label).sum())


def test_a_class_that_is_too_rare_to_be_drawn_does_not_stop_the_evaluation(winners) -> None:
    examined = asking(winners["binary"], rows=100)
    y = np.zeros_like(examined.analysis.y)
    y[[7, 300]] = 1

    found = explained(replace(examined, analysis=replace(examined.analysis, y=y)))

    assert found.n_added >= 1
    assert found.importance_rows == 100 + found.n_added


# --- groups --------------------------------------------------------------------------------------


@given(arrays(np.float32, (12, 5), elements=st.floats(-3, 3, width=32)), st.integers(0, 3))
def test_every_column_is_in_one_group_whatever_the_values(X: np.ndarray, gap: int) -> None:
    X[gap, :] = np.nan
    groups = correlated_groups(ranks(X), columns(5), X[:, 0].astype(np.float64) * 0)

    assert sorted(name for group in groups for name in group) == sorted(columns(5))


def test_any_two_columns_of_a_group_are_alike_and_the_strongest_comes_first() -> None:
    rng = np.random.default_rng(0)
    base = rng.normal(size=2_000)
    noisy = np.column_stack([base + step * 0.35 * rng.normal(size=2_000) for step in (2, 1, 0)])
    X = np.column_stack([noisy, -np.exp(base), rng.normal(size=2_000)]).astype(np.float32)

    groups = correlated_groups(ranks(X), columns(5), base)

    # x1 is near x2 and x3, which are one another's mirror; x0 is near none of them all.
    assert ("x2", "x3", "x1") in groups
    assert ("x0",) in groups
    assert ("x4",) in groups


def test_columns_that_miss_values_in_the_same_rows_only_are_no_group() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1_000, 2)).astype(np.float32)
    X[:100] = np.nan

    assert correlated_groups(ranks(X), columns(2), X[:, 0]) == (("x0",), ("x1",))


def test_a_copied_column_is_told_with_its_twin() -> None:
    examined = make_examined("regression", n_rows=800, max_fit_rows=400)
    names = list(raw_features(examined.predictor.preprocessing))
    X = examined.analysis.X.copy(order="F")
    X[:, names.index("visits")] = 2 * X[:, names.index("income")]

    found = explained(replace(examined, analysis=replace(examined.analysis, X=X)))

    groups = {item.name: item.together for item in found.importance}
    assert groups.get("income") == ("visits",) or groups.get("visits") == ("income",)
    assert any("shuffled together" in text for text in SECTION.limits(found))


# --- contributions -------------------------------------------------------------------------------


@pytest.mark.parametrize("task", TASKS)
def test_contributions_add_up_to_what_the_model_says(winners, task) -> None:
    predictor, X = winners[task].predictor, winners[task].analysis.X[:40]
    features = raw_features(predictor.preprocessing)

    found = shap.explain(predictor.model, X, features, background=X)

    assert found is not None
    assert found.off < 1e-9
    rest = found.margin - found.values.sum(axis=2)
    np.testing.assert_allclose(rest, np.broadcast_to(rest[0], rest.shape), atol=1e-9)


@pytest.mark.parametrize("task", TASKS)
def test_an_ensemble_of_one_model_twice_is_explained_as_that_model(winners, task) -> None:
    examined = winners[task]
    model, n = examined.predictor.model, examined.analysis.X.shape[1]
    every = FeatureTransform.choosing(range(n), examined.predictor.preprocessing.n_levels)
    twice = CompositeModel(
        [CompositeMember("lightgbm", model, 0.3), CompositeMember("lightgbm", model, 0.7, every)]
    )

    one, two = (explained(item) for item in (examined, with_model(examined, twice)))

    assert one.contributions is not None
    assert two.contributions is not None
    assert [item.name for item in one.contributions.columns] == [
        item.name for item in two.contributions.columns
    ]
    assert one.contributions.ensemble_off is None
    far = two.contributions.ensemble_off
    assert far is None if task == "regression" else far == pytest.approx(0, abs=1e-6)


def test_a_column_that_a_member_does_not_read_gets_nothing_from_it(winners) -> None:
    examined = winners["regression"]
    preprocessing = examined.predictor.preprocessing

    class SumOfTwo(type(examined.predictor.model)):  # type: ignore[misc]
        def __init__(self) -> None: ...

        def predict(self, X: np.ndarray) -> np.ndarray:
            return np.nan_to_num(X).sum(axis=1)

        def contributions(self, X: np.ndarray, *, background: np.ndarray) -> Any:
            values = np.nan_to_num(X)[:, None, :].astype(np.float64)
            margin = values.sum(axis=2)
            return shap.Contributions(values=values, base=np.zeros(1), margin=margin)

    kept = FeatureTransform.choosing((1, 3), preprocessing.n_levels)
    model = CompositeModel([CompositeMember("sum", SumOfTwo(), 1.0, kept)])

    found = explained(with_model(examined, model))

    names = list(raw_features(preprocessing))
    assert found.contributions is not None
    told = {item.name for item in found.contributions.columns if item.mean > 0}
    assert told <= {names[1], names[3]}
    assert {item.name for item in found.importance} == {names[1], names[3]}
    assert found.n_unread == len(names) - 2


def test_components_and_other_families_have_no_contributions_and_it_is_said(winners) -> None:
    examined = winners["binary"]
    n = examined.analysis.X.shape[1]
    projection = Projection(
        positions=(0, 1),
        fill=(0, 0),
        center=(0, 0),
        scale=(1, 1),
        n_components=1,
        components="AACAPwAAAAA=",
    )
    mixed = FeatureTransform(n_features=n, kept=(), kept_levels=(), projection=projection)
    member = CompositeMember("lightgbm", examined.predictor.model, 1.0, mixed)
    components = shap.without_contributions(CompositeModel([member]), ("lightgbm",))
    asked = {"explain": {"local": "shap"}}
    knn = explained(make_examined("binary", n_rows=600, family="knn", asked=asked))

    assert "principal components" in components
    assert knn.contributions is None
    assert "family 'knn'" in knn.notes[0]
    assert knn.importance


def test_a_model_that_is_no_sum_is_not_explained_as_one(winners) -> None:
    examined = winners["regression"]

    class Wrong(type(examined.predictor.model)):  # type: ignore[misc]
        def __init__(self) -> None: ...

        def predict(self, X: np.ndarray) -> np.ndarray:
            return np.nan_to_num(X[:, 0])

        def contributions(self, X: np.ndarray, *, background: np.ndarray) -> Any:
            values = np.zeros((len(X), 1, X.shape[1]))
            return shap.Contributions(values=values, base=np.zeros(1), margin=np.ones((len(X), 1)))

    found = explained(with_model(examined, Wrong()))

    assert found.contributions is None
    assert "do not add up" in found.notes[0]


# --- dependence ----------------------------------------------------------------------------------


def test_dependence_of_a_sum_is_its_slope_and_has_no_spread() -> None:
    rng = np.random.default_rng(0)
    X = np.asfortranarray(rng.normal(size=(300, 2)).astype(np.float32))

    found = dependence(
        lambda X: 3.0 * X[:, 0] + X[:, 1].astype(np.float64),
        X,
        column(0),
        n_points=20,
        n_rows=200,
        confidence=0.95,
    )

    assert found is not None
    x, means = (np.array([getattr(p, name) for p in found.points]) for name in ("x", "mean"))
    np.testing.assert_allclose(np.diff(means) / np.diff(x), 3.0, rtol=1e-4)
    assert max(point.high - point.low for point in found.points) < 1e-5
    assert found.error < 1e-5
    assert len(found.points) == 20


def test_dependence_spreads_where_another_column_decides_the_effect() -> None:
    X = np.asfortranarray(np.random.default_rng(0).normal(size=(300, 2)).astype(np.float32))

    found = dependence(
        lambda X: X[:, 0] * X[:, 1], X, column(0), n_points=10, n_rows=200, confidence=0.95
    )

    assert found is not None
    assert found.points[0].high - found.points[0].low > 2


def test_all_features_of_a_column_move_together_under_the_names_of_its_values() -> None:
    plan = ColumnEncoding(
        name="plan",
        kind="categorical",
        dtype="String",
        levels=("gold", "iron"),
        counts=(1, 1, 5, 9),
    )
    X = np.zeros((40, 2), np.float32, order="F")
    X[:, 0] = np.arange(40) % 4
    X[:, 1] = np.array(plan.counts)[X[:, 0].astype(int)]
    seen: list[np.ndarray] = []

    def predict(rows: np.ndarray) -> np.ndarray:
        seen.append(rows.copy())
        return rows[:, 1]

    found = dependence(
        predict,
        X,
        RawFeatures(encoding=plan, positions=(0, 1)),
        n_points=20,
        n_rows=40,
        confidence=0.95,
    )

    assert found is not None
    assert {p.label: p.mean for p in found.points} == {
        "missing": 1,
        "rare or new": 1,
        "gold": 5,
        "iron": 9,
    }
    pairs = {tuple(row) for rows in seen for row in rows.tolist()}
    assert pairs == {(code, plan.counts[code]) for code in range(4)}


@pytest.mark.parametrize(
    ("kind", "values", "labels"),
    [
        ("numeric", [1.0, 2.5, np.nan, 1.0], ["1", "2.5", "missing"]),
        ("boolean", [1.0, 0.0, 1.0, 0.0], ["false", "true"]),
        ("datetime", [0.0, 31.5, 0.0, 0.0], ["1970-01-01", "1970-02-01"]),
    ],
)
def test_values_are_told_in_the_units_of_the_column(kind, values, labels) -> None:
    X = np.array(values, np.float32)[:, None]
    about = {"date_parts": ("days",)} if kind == "datetime" else {}

    found = dependence(
        lambda X: np.nan_to_num(X[:, 0]),
        X,
        column(0, kind, **about),
        n_points=20,
        n_rows=4,
        confidence=0.95,
    )

    assert found is not None
    assert [point.label for point in found.points] == labels


def test_a_constant_column_has_no_dependence() -> None:
    X = np.ones((10, 1), np.float32)

    assert (
        dependence(lambda X: X[:, 0], X, column(0), n_points=5, n_rows=10, confidence=0.95) is None
    )


@given(st.floats(1e-7, 1e-1), st.floats(0.01, 10))
def test_a_grid_costs_what_it_may_or_is_the_smallest(
    seconds_per_row: float, seconds: float
) -> None:
    n_columns, n_points, n_rows = affordable_grid(seconds, seconds_per_row=seconds_per_row)

    cost = n_columns * n_points * n_rows * seconds_per_row
    assert cost <= seconds * 1.01 or (n_columns, n_points, n_rows) == (3, 10, 50)


# --- cases ---------------------------------------------------------------------------------------


@given(arrays(np.float64, st.integers(1, 30), elements=st.sampled_from([0.0, 1.0, 2.0, 5.0])))
def test_the_worst_rows_have_the_largest_losses(loss: np.ndarray) -> None:
    rows = cases.worst_rows(loss)

    assert sorted(loss[rows], reverse=True) == sorted(loss, reverse=True)[:5]
    assert len(set(rows)) == min(5, len(loss))


@pytest.mark.parametrize("task", TASKS)
def test_cases_are_named_by_their_row_in_the_snapshot(winners, task) -> None:
    examined = winners[task]
    analysis = examined.analysis
    loss = cases.losses(analysis.y, analysis.prediction)

    found = explained(examined)

    worst = [case for case in found.cases if case.kind == "worst"]
    assert len(found.cases) - len(worst) == (3 if task == "multiclass" else 5)
    assert worst[0].row == analysis.rows[loss.argmax()]
    places = [int(np.flatnonzero(analysis.rows == case.row)[0]) for case in found.cases]
    for case, place in zip(found.cases, places, strict=True):
        assert str(case.actual)[:6] == str(analysis.frame["target"][place])[:6]
        assert case.loss == pytest.approx(loss[place])
        assert len(case.reasons) == 3
        sizes = [abs(reason.contribution or 0) for reason in case.reasons]
        assert sizes == sorted(sizes, reverse=True)


def test_no_value_of_a_personal_column_is_kept(winners) -> None:
    examined = winners["binary"]
    about = Finding(rule=PERSONAL, column="plan", action="warned", detail="It looks like names.")
    profile = examined.profile.model_copy(update={"findings": (about,)})

    before, after = explained(examined), explained(replace(examined, profile=profile))

    assert "plan 1" in before.model_dump_json()
    assert "plan 1" not in after.model_dump_json()
    assert "plan" not in {item.column for item in after.dependence}
    assert any("personal data (plan)" in note for note in after.notes)
    hidden = [r for case in after.cases for r in case.reasons if r.column == "plan"]
    assert hidden
    assert {reason.value for reason in hidden} == {None}


def test_typical_rows_are_in_the_middle_of_each_fifth() -> None:
    X = np.arange(100, dtype=np.float32)[:, None]

    rows = cases.typical_rows(X, X[:, 0].astype(np.float64), (column(0),))

    assert np.abs(rows - np.array([9.5, 29.5, 49.5, 69.5, 89.5])).max() <= 0.5


# --- the section ---------------------------------------------------------------------------------


def test_what_is_asked_for_is_made_and_nothing_else(winners) -> None:
    examined = winners["binary"]

    shuffled = explained(asking(examined))
    local = explained(asking(examined, **{"global": "none", "local": "shap"}))

    assert examine(asking(examined, **{"global": "none"})) is None
    assert shuffled.contributions is None
    assert shuffled.importance
    assert not local.importance
    assert local.contributions is not None
    order = [item.name for item in local.contributions.columns]
    assert [item.column for item in local.dependence] == order[:6]


def test_without_a_section_in_the_request_columns_are_shuffled(winners) -> None:
    examined = winners["binary"]
    silent = replace(examined, request=examined.request.model_copy(update={"explain": None}))

    assert explained(silent) == explained(asking(examined))


def test_equal_inputs_give_equal_results(winners) -> None:
    assert explained(winners["multiclass"]) == explained(winners["multiclass"])


def test_a_slow_model_is_asked_about_few_rows_and_it_is_said(winners) -> None:
    examined = asking(winners["binary"])
    slow = examined.candidates.model_copy(update={"seconds_per_row": 1e-3})
    n_predicted = []
    model = examined.predictor.model

    class Counting(type(model)):  # type: ignore[misc]
        def __init__(self) -> None: ...

        def predict(self, X: np.ndarray) -> np.ndarray:
            n_predicted.append(len(X))
            return model.predict(X)

    found = explained(replace(with_model(examined, Counting()), candidates=slow))

    n_columns = len(found.importance)
    assert found.importance_rows == 100
    assert sum(n_predicted) <= 100 * (1 + 5 * n_columns) + 3 * 11 * 50
    assert any("100 rows and 5 shuffles" in text for text in SECTION.limits(found))


CARD = {"identity": {"target": "target"}}


def page(examined: Examined) -> tuple[str, Explanations]:
    found = explained(examined)
    return rendered(found, examined.classes), found


def rendered(found: Explanations, classes: tuple[str, ...]) -> str:
    card = CARD | {"evaluation": {"classes": list(classes)}}
    template = templates().get_template("sections/explanations.html.j2")
    return template.render(section=found.model_dump(mode="json"), card=card)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("local", ["shap", "none"])
def test_the_page_begins_with_words_and_shows_every_case(winners, task, local) -> None:
    html, found = page(asking(winners[task], local=local))

    assert html.lstrip().startswith('<p class="lead">The model relies most on ')
    assert html.count('<tr><th scope="row"') == len(found.cases)
    assert ("Shapley values (SHAP)" in html) == (local == "shap")
    assert found.importance[0].name in SECTION.sentences(found)[0]


def test_the_page_names_what_is_beyond_noise_though_another_column_seems_stronger(winners) -> None:
    found = explained(asking(winners["binary"]))
    first, *others = found.importance
    loud = first.model_copy(update={"noise": 2 * abs(first.mean) + 1})
    quiet = [item.model_copy(update={"noise": item.mean - 1.0}) for item in others]
    value = found.model_copy(update={"importance": (loud, *quiet)})

    html = rendered(value, winners["binary"].classes)

    assert f"relies most on {others[0].name}:" in html
    assert f"relies most on {others[0].name}" in SECTION.sentences(value)[0]


def test_a_model_that_uses_nothing_is_told_in_words(winners) -> None:
    examined = asking(winners["regression"])

    class Constant(type(examined.predictor.model)):  # type: ignore[misc]
        def __init__(self) -> None: ...

        def predict(self, X: np.ndarray) -> np.ndarray:
            return np.full(len(X), 3.0)

    html, found = page(with_model(examined, Constant()))

    assert "No column matters beyond noise" in html
    assert "No column alone matters" in SECTION.sentences(found)[0]
    assert PICTURES.pictures(found)


@pytest.mark.parametrize("task", TASKS)
def test_pictures_are_drawn_on_one_scale_and_say_how_many_rows(winners, task) -> None:
    from matplotlib.figure import Figure

    found = explained(asking(winners[task]))
    pictures = PICTURES.pictures(found)

    figures = draw_pictures("explanations", pictures)

    assert [item.title for item in figures] == [item.column for item in found.dependence]
    assert all(item.caption.startswith(f"Mean {found.outcome} of 200 rows") for item in figures)
    assert all("var(--accent)" in item.svg for item in figures)
    ends = set()
    for picture, item in zip(pictures, found.dependence, strict=True):
        axes = Figure().add_subplot()
        picture.draw(axes, _palette())
        ends.add(axes.get_xlim() if item.kind == "name" else axes.get_ylim())
    assert len(ends) == 1


def _palette() -> Any:
    from automl_assets.core.report.search_pictures import Palette

    return Palette()


def test_a_million_rows_cost_what_the_drawn_ones_do(winners) -> None:
    examined = asking(winners["regression"])
    analysis = examined.analysis
    times = 1_000_000 // len(analysis.y)
    many = replace(
        analysis,
        rows=np.arange(times * len(analysis.y)),
        frame=pl.concat([analysis.frame] * times),
        X=np.asfortranarray(np.tile(analysis.X, (times, 1))),
        y=np.tile(analysis.y, times),
        prediction=np.tile(analysis.prediction, times),
    )
    n_predicted = []
    predict = examined.predictor.model.predict

    class Counting(type(examined.predictor.model)):  # type: ignore[misc]
        def __init__(self) -> None: ...

        def predict(self, X: np.ndarray) -> np.ndarray:
            n_predicted.append(len(X))
            return predict(X)

    found = explained(with_model(replace(examined, analysis=many), Counting()))

    assert found.n_rows == 2_000
    assert sum(n_predicted) <= 2_000 * (1 + 20 * len(found.importance)) + 6 * 21 * 200
