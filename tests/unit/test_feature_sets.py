"""Feature sets: what is left out, what stays together, and that a model sees the same for ever."""

import base64
import itertools
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from automl_assets.core.encoding import ColumnEncoding, Preprocessing
from automl_assets.core.errors import RequestError, SnapshotError
from automl_assets.core.families import Encoded, Structure
from automl_assets.core.feature_sets import (
    FeatureSet,
    FeatureTransform,
    Projection,
    make_feature_sets,
    n_raw_columns,
    ranking,
    raw_columns,
    read_feature_set,
    write_feature_sets,
)
from automl_assets.core.feature_sets.components import fit_components
from automl_assets.core.feature_sets.correlation import find_redundant
from automl_assets.core.feature_sets.relation import relation, target_ranks
from automl_assets.core.feature_sets.sample import sample

N_ROWS = 1_500


def encoded(columns: list[np.ndarray], y: np.ndarray, n_levels: tuple[int, ...] = ()) -> Encoded:
    X = np.asfortranarray(np.stack(columns, axis=1), dtype=np.float32)
    return Encoded(X=X, y=y, n_levels=n_levels or (0,) * X.shape[1])


def numeric_columns(n: int) -> Preprocessing:
    columns = (ColumnEncoding(name=f"x{i}", kind="numeric", dtype="Float64") for i in range(n))
    return Preprocessing(version="1", columns=tuple(columns))


def halves(part: Encoded) -> tuple[Encoded, Encoded]:
    n = len(part.X) // 2
    return (
        Encoded(X=np.asfortranarray(part.X[:n]), y=part.y[:n], n_levels=part.n_levels),
        Encoded(X=np.asfortranarray(part.X[n:]), y=part.y[n:], n_levels=part.n_levels),
    )


def make(part: Encoded, preprocessing: Preprocessing, **asked: Any) -> dict[str, FeatureSet]:
    train, validation = halves(part)
    n_classes = 0 if part.y.dtype == np.float64 else int(part.y.max()) + 1
    options: dict[str, Any] = {
        "redundancy": "none",
        "selection": "none",
        "max_features": None,
        "task_type": {0: "regression", 2: "binary"}.get(n_classes, "multiclass"),
        "n_classes": n_classes,
        "seed": 3,
        "n_threads": 1,
    }
    sets = make_feature_sets(train, validation, preprocessing=preprocessing, **{**options, **asked})
    return {item.name: item for item in sets}


def two_of_ten(n_rows: int = 2 * N_ROWS) -> Encoded:
    """Two features that matter by themselves, two that matter together, six of noise."""
    X = np.random.default_rng(0).normal(size=(n_rows, 10))
    y = 2 * X[:, 0] - 2 * X[:, 1] + 3 * X[:, 2] * X[:, 3]
    return encoded(list(X.T), y)


@st.composite
def transforms(draw: st.DrawFn, *, mixes: bool = True) -> FeatureTransform:
    n = draw(st.integers(1, 8))
    role = draw(
        st.lists(st.sampled_from(["drop", "keep", "mix"][: 2 + mixes]), min_size=n, max_size=n)
    )
    kept = [i for i in range(n) if role[i] == "keep"]
    mixed = [i for i in range(n) if role[i] == "mix"]
    numbers = st.floats(-10, 10)
    levels = draw(st.tuples(*[st.sampled_from([0, 5])] * n))
    if not mixed:
        return FeatureTransform.choosing(kept or [0], levels)
    loadings = draw(st.lists(numbers, min_size=len(mixed), max_size=3 * len(mixed)))
    n_components = len(loadings) // len(mixed)
    weights = np.array(loadings[: n_components * len(mixed)], "<f4")
    fill, center, scale = (
        draw(st.lists(values, min_size=len(mixed), max_size=len(mixed)))
        for values in (numbers, numbers, st.floats(0.1, 10))
    )
    projection = Projection(
        positions=tuple(mixed),
        fill=tuple(fill),
        center=tuple(center),
        scale=tuple(scale),
        n_components=n_components,
        components=base64.b64encode(weights.tobytes()).decode(),
    )
    return FeatureTransform(
        n_features=n,
        kept=tuple(kept),
        kept_levels=tuple(levels[i] for i in kept),
        projection=projection,
    )


@given(transforms())
def test_a_transform_survives_json_and_does_the_same(transform: FeatureTransform) -> None:
    X = np.random.default_rng(1).normal(size=(20, transform.n_features)).astype(np.float32)
    X[3] = np.nan

    again = FeatureTransform.model_validate_json(transform.model_dump_json())

    assert again == transform
    np.testing.assert_array_equal(again.apply(X), transform.apply(X))
    assert transform.apply(X).shape == (20, len(transform.n_levels))


@given(transforms(), st.integers(0, 19))
def test_a_row_looks_the_same_alone_and_among_others(transform: FeatureTransform, row: int) -> None:
    X = np.random.default_rng(2).normal(size=(20, transform.n_features)).astype(np.float32)

    together = transform.apply(np.asfortranarray(X))

    assert together.dtype == np.float32
    assert together.flags.f_contiguous
    # The last digit may differ: a product of one row is added up in another order.
    np.testing.assert_allclose(transform.apply(X[row : row + 1])[0], together[row], 1e-6)


def test_choosing_columns_of_a_mapped_matrix_copies_those_and_nothing_else(tmp_path: Path) -> None:
    X = np.lib.format.open_memmap(
        tmp_path / "X.npy", "w+", dtype=np.float32, shape=(200_000, 6), fortran_order=True
    )
    X[:, 4] = 1.5
    transform = FeatureTransform.choosing([4, 1], (0,) * 6)
    transform.apply(X[:1])

    tracemalloc.start()
    chosen = transform.apply(X)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 1.05 * chosen.nbytes
    np.testing.assert_array_equal(chosen, X[:, [1, 4]])


def test_a_matrix_of_which_all_is_wanted_is_not_copied() -> None:
    X = np.zeros((5, 3), np.float32, order="F")

    assert FeatureTransform.choosing(range(3), (0, 0, 0)).apply(X) is X


def test_a_matrix_with_another_number_of_features_is_refused() -> None:
    transform = FeatureTransform.choosing([1], (0, 0, 0))

    for refused in (
        lambda: transform.apply(np.zeros((2, 4), np.float32)),
        lambda: transform.encoded(encoded([np.zeros(2)] * 4, np.zeros(2))),
        lambda: transform.structure(Structure(monotonic=(1, 0, 0, 0))),
        lambda: raw_columns(transform, numeric_columns(4)),
    ):
        with pytest.raises(SnapshotError, match="of 3 features, but the matrix has 4"):
            refused()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"kept": (0, 3)}, "position 3 is not one of 3 features"),
        ({"kept": (-1, 0)}, "position -1 is not one of 3 features"),
        ({"kept": (1, 0)}, "keep their order"),
        ({"kept": (1, 1)}, "read once"),
        ({"kept": (), "kept_levels": ()}, "at least one feature"),
        ({"kept_levels": (0,)}, "as many numbers of levels"),
    ],
)
def test_a_transform_of_features_that_are_not_there_is_refused(changed: dict, message: str) -> None:
    content = {"n_features": 3, "kept": (0, 1), "kept_levels": (0, 0), **changed}

    with pytest.raises(ValidationError, match=message):
        FeatureTransform(**content)


@given(transforms(mixes=False), st.data())
def test_what_stays_keeps_its_direction(transform: FeatureTransform, data: st.DataObject) -> None:
    directions = st.sampled_from([-1, 0, 1])
    bound = data.draw(st.tuples(*[directions] * transform.n_features))

    moved = transform.structure(Structure(monotonic=bound, max_depth=3))

    wanted = tuple(bound[position] for position in transform.kept)
    assert moved.monotonic == (wanted if any(wanted) else ())
    assert moved.max_depth == 3


@given(transforms(mixes=False), st.data())
def test_features_may_act_together_after_choosing_where_they_might_before(
    transform: FeatureTransform, data: st.DataObject
) -> None:
    position = st.integers(0, transform.n_features - 1)
    some = st.lists(position, min_size=1, unique=True).map(tuple)
    sets = tuple(data.draw(st.lists(some, min_size=1, max_size=4)))

    moved = transform.structure(Structure(interactions=sets)).interactions

    assert moved
    for one, other in itertools.combinations(range(len(transform.kept)), 2):
        before = any({transform.kept[one], transform.kept[other]} <= set(own) for own in sets)
        assert any({one, other} <= set(own) for own in moved) == before


def components_of_three() -> FeatureTransform:
    rng = np.random.default_rng(0)
    rows = encoded(list(rng.normal(size=(4, 100))), np.zeros(100), (5, 0, 0, 0))
    return fit_components(rows, range(4), seed=0)[0]


def test_components_cannot_have_a_direction_but_what_stays_beside_them_can() -> None:
    transform = components_of_three()

    assert transform.structure(Structure(monotonic=(1, 0, 0, 0))).monotonic == (1, 0, 0, 0)
    with pytest.raises(RequestError, match=r"1 of 4 .* have one\. Remove model\.monotonic"):
        transform.structure(Structure(monotonic=(1, 0, -1, 0)))


def test_components_act_together_where_all_that_they_mix_may() -> None:
    transform = components_of_three()

    moved = transform.structure(Structure(interactions=((0, 1, 2, 3), (1, 2))))

    assert moved.interactions == ((0, 1, 2, 3),)
    with pytest.raises(RequestError, match=r"3 of them may act together\. Remove model\.interac"):
        transform.structure(Structure(interactions=((0, 1), (2, 3))))


def test_sets_are_read_as_they_were_written_and_all_needs_no_file(tmp_path: Path) -> None:
    chosen = FeatureSet(
        name="selected", transform=FeatureTransform.choosing([1], (0, 4)), detail="One."
    )
    everything = FeatureSet(
        name="all", transform=FeatureTransform.choosing([0, 1], (0, 4)), detail="All."
    )

    write_feature_sets(tmp_path, (everything, chosen))

    assert read_feature_set(tmp_path, "selected") == chosen
    assert read_feature_set(tmp_path, "all") is None
    with pytest.raises(SnapshotError, match=r"'pca' .* that file cannot be read"):
        read_feature_set(tmp_path, "pca")
    (tmp_path / "features-selected.json").write_text('{"name": "selected"}')
    with pytest.raises(SnapshotError, match="that file is damaged"):
        read_feature_set(tmp_path, "selected")


def test_of_two_features_that_say_the_same_the_one_closer_to_the_target_stays() -> None:
    rng = np.random.default_rng(0)
    x, other = rng.normal(size=(2, N_ROWS))
    blurred = x + 0.1 * rng.normal(size=N_ROWS)
    y = (x > 0).astype(np.int32)

    found = find_redundant(encoded([np.exp(blurred), -x, other], y), n_classes=2)

    assert found.kept_for == {0: 1}
    assert found.relations[1] > found.relations[0] > found.relations[2]


def test_no_feature_is_dropped_without_a_kept_one_that_says_the_same() -> None:
    rng = np.random.default_rng(0)
    steps = [rng.normal(size=N_ROWS)]
    for _ in range(600):
        steps.append(0.98 * steps[-1] + 0.2 * rng.normal(size=N_ROWS))
    part = encoded(steps, rng.normal(size=N_ROWS))

    kept_for = find_redundant(part, n_classes=0).kept_for

    ranks = np.argsort(np.argsort(part.X, axis=0), axis=0)
    correlation = np.abs(np.corrcoef(ranks.T))
    assert not set(kept_for.values()) & set(kept_for)
    assert min(correlation[pair] for pair in kept_for.items()) > 0.949
    kept = [position for position in range(len(steps)) if position not in kept_for]
    assert np.triu(correlation[np.ix_(kept, kept)], 1).max() < 0.951


def test_a_feature_that_is_missing_elsewhere_says_something_else() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=N_ROWS)
    some, others = (np.where(rng.random(N_ROWS) < 0.1, np.nan, x) for _ in range(2))

    found = find_redundant(encoded([some, others, some * 2], x), n_classes=0)

    assert len(found.kept_for) == 1
    assert set(*found.kept_for.items()) == {0, 2}


def test_categories_whose_codes_are_one_to_one_say_the_same() -> None:
    rng = np.random.default_rng(0)
    state = rng.integers(2, 7, N_ROWS)
    renamed = np.array([0, 0, 6, 3, 5, 2, 4])[state]
    coarser = np.where(state > 4, 4, state)
    y = rng.normal(size=N_ROWS) + state

    found = find_redundant(encoded([state, coarser, renamed], y, (7, 7, 7)), n_classes=0)

    assert found.kept_for == {2: 0}


def test_features_of_nearly_one_value_are_not_called_copies() -> None:
    flags = np.zeros((2, N_ROWS))
    flags[:, :5] = 1

    found = find_redundant(encoded([*flags, *flags], flags[0], (0, 0, 3, 3)), n_classes=0)

    assert found.kept_for == {}


def test_a_relation_with_a_bend_is_seen_and_chance_is_not() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=4_000)
    bins = np.clip((x + 3) * 3, 0, 15).astype(np.intp)
    code = (np.abs(x) > 1).astype(np.int32)

    assert relation(bins, target_ranks(x**2), 0) > 0.8
    assert relation(bins, code, 2) > 0.8
    assert abs(relation(rng.permutation(bins), target_ranks(x**2), 0)) < 0.01
    assert abs(relation(rng.permutation(bins), code, 2)) < 0.01
    assert relation(np.zeros(4_000, np.intp), code, 2) == 0
    assert relation(code.astype(np.intp), code, 2) == pytest.approx(1)


def test_the_uncorrelated_set_says_what_it_left_out() -> None:
    part = two_of_ten()
    part.X[:, 7] = part.X[:, 0] * 3

    sets = make(part, numeric_columns(10), redundancy="correlation")

    assert list(sets) == ["all", "uncorrelated"]
    assert sets["uncorrelated"].transform.kept == (0, 1, 2, 3, 4, 5, 6, 8, 9)
    assert "'x7' as 'x0'" in sets["uncorrelated"].detail


def test_components_keep_the_variance_they_promise_and_categories_stay() -> None:
    rng = np.random.default_rng(0)
    factors = rng.normal(size=(3, N_ROWS))
    columns = [1e6 + factors[i % 3] * 10**i + 0.01 * rng.normal(size=N_ROWS) for i in range(9)]
    columns[4][::7] = np.nan
    code, constant = rng.integers(2, 6, N_ROWS), np.ones(N_ROWS)
    levels = (6, 0, *[0] * 9)
    part = encoded([code, constant, *columns], factors[0], levels)

    transform, detail = fit_components(part, range(11), seed=0)

    seen = transform.encoded(part)
    assert seen.n_levels == (6, 0, 0, 0, 0)
    np.testing.assert_array_equal(seen.X[:, 0], code)
    values = part.X[:, 2:].astype(float)
    values = np.where(np.isnan(values), np.nanmedian(values, axis=0), values)
    kept = seen.X[:, 2:].var(axis=0).sum() / ((values / values.std(axis=0)).var(axis=0).sum())
    assert 0.95 <= kept <= 1
    assert f"{kept:.1%}" in detail


def test_components_of_fewer_than_two_features_that_vary_are_refused() -> None:
    part = encoded([np.arange(200), np.ones(200), np.full(200, np.nan)], np.arange(200.0))

    with pytest.raises(RequestError, match=r"has 1\. Set model\.preprocessing\.redundancy"):
        make(part, numeric_columns(3), redundancy="pca")


def test_huge_values_in_new_rows_stay_finite_in_components() -> None:
    transform = components_of_three()

    seen = transform.apply(np.full((2, 4), np.finfo(np.float32).max))

    assert np.isfinite(seen).all()


def test_limits_that_components_cannot_hold_are_refused_before_the_search() -> None:
    structure = Structure(monotonic=(1, *[0] * 9))

    with pytest.raises(RequestError, match="Principal components mix features"):
        make(two_of_ten(), numeric_columns(10), redundancy="pca", structure=structure)


def test_selection_finds_what_matters_alone_and_together_and_little_else() -> None:
    sets = make(two_of_ten(), numeric_columns(10), selection="permutation")

    assert {0, 1, 2, 3} <= set(sets["selected"].transform.kept)
    assert len(sets["selected"].transform.kept) <= 5
    assert "'x5'" in sets["selected"].detail


@pytest.mark.parametrize("n_classes", [2, 3])
def test_selection_works_for_classes(n_classes: int) -> None:
    part = two_of_ten()
    y = np.digitize(part.y, np.quantile(part.y, np.linspace(0, 1, n_classes + 1)[1:-1]))
    part = Encoded(X=part.X, y=y.astype(np.int32), n_levels=part.n_levels)

    sets = make(part, numeric_columns(10), selection="permutation")

    assert {0, 1, 2, 3} <= set(sets["selected"].transform.kept)
    assert len(sets["selected"].transform.kept) <= 7


def test_where_nothing_rises_above_noise_only_all_is_offered_and_that_is_told() -> None:
    part = two_of_ten()
    empty = Encoded(X=np.ones_like(part.X), y=part.y, n_levels=part.n_levels)

    sets = make(empty, numeric_columns(10), selection="permutation")

    assert list(sets) == ["all"]
    assert "No raw column tells more than noise" in sets["all"].detail


def test_most_noise_is_not_selected_and_hardly_any_of_it_is_strong() -> None:
    part = two_of_ten()
    n_kept = {"selected": 0, "strongest": 0}

    for seed in range(6):
        y = np.random.default_rng(100 + seed).normal(size=len(part.y))
        noise = Encoded(X=part.X, y=y, n_levels=part.n_levels)
        sets = make(noise, numeric_columns(10), selection="permutation", seed=seed)
        for name in n_kept.keys() & sets.keys():
            n_kept[name] += len(sets[name].transform.kept)

    # One column in four is luckier than the luckiest of three; one in forty is sure by chance.
    assert n_kept["selected"] <= 30
    assert n_kept["strongest"] <= 5


def shop_table() -> tuple[Encoded, Preprocessing]:
    """A column of many levels with its count and target encoding, and four numbers of noise."""
    rng = np.random.default_rng(0)
    shop = rng.integers(2, 32, 2 * N_ROWS)
    effect = rng.normal(size=32)
    y = effect[shop] + 0.3 * rng.normal(size=2 * N_ROWS)
    noise = rng.normal(size=(4, 2 * N_ROWS))
    columns = [noise[0], shop, np.bincount(shop)[shop], effect[shop], *noise[1:]]
    shops = ColumnEncoding(
        name="shop",
        kind="categorical",
        dtype="String",
        levels=tuple(f"s{i}" for i in range(30)),
        counts=(1.0,) * 32,
        outputs=("",),
        means=((0.0,) * 32,),
    )
    numbers = numeric_columns(4).columns
    preprocessing = Preprocessing(version="1", columns=(numbers[0], shops, *numbers[1:]))
    return encoded(columns, y, (0, 32, 0, 0, 0, 0, 0)), preprocessing


def test_all_features_of_a_raw_column_stay_together() -> None:
    part, preprocessing = shop_table()

    sets = make(part, preprocessing, selection="permutation", max_features=1)

    assert list(sets) == ["top"]
    assert sets["top"].transform.kept == (1, 2, 3)
    assert raw_columns(sets["top"].transform, preprocessing) == ("shop",)
    assert sets["top"].transform.n_levels == (32, 0, 0)


@pytest.mark.parametrize("redundancy", ["pca", "correlation", "none"])
@pytest.mark.parametrize("selection", ["permutation", "none"])
@pytest.mark.parametrize("max_features", [2, 4])
def test_no_set_reads_more_raw_columns_than_allowed(
    redundancy: str, selection: str, max_features: int
) -> None:
    part, preprocessing = shop_table()
    part.X[:, 6] = part.X[:, 3] * 2

    sets = make(
        part,
        preprocessing,
        redundancy=redundancy,
        selection=selection,
        max_features=max_features,
    )

    assert next(iter(sets)) == "top"
    assert "all" not in sets
    for item in sets.values():
        assert 1 <= n_raw_columns(item.transform, preprocessing) <= max_features
    assert n_raw_columns(sets["top"].transform, preprocessing) == max_features
    assert "shop" in raw_columns(sets["top"].transform, preprocessing)


def test_a_copy_takes_no_place_from_another_column() -> None:
    part = two_of_ten()
    part.X[:, 7] = part.X[:, 0] * 3
    part.X[:, 8] = part.X[:, 1] * 3

    sets = make(part, numeric_columns(10), max_features=4)

    assert sets["top"].transform.kept == (0, 1, 2, 3)


def test_a_limit_that_all_columns_meet_changes_nothing() -> None:
    sets = make(two_of_ten(), numeric_columns(10), max_features=10)

    assert list(sets) == ["all"]
    assert sets["all"].transform.is_identity


def test_a_set_that_equals_another_is_not_offered_and_that_is_told() -> None:
    sets = make(two_of_ten(), numeric_columns(10), redundancy="correlation")

    assert list(sets) == ["all"]
    assert "'uncorrelated' is not offered: it equals 'all'" in sets["all"].detail


@pytest.mark.slow  # two threads wait for each other for long where others use the machine
def test_the_same_arguments_give_the_same_sets_on_any_number_of_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ranking, "_THREAD_VALUES", 1_000)
    asked: dict[str, Any] = {"redundancy": "pca", "selection": "permutation", "max_features": 6}

    one = make(two_of_ten(), numeric_columns(10), n_threads=1, **asked)
    two = make(two_of_ten(), numeric_columns(10), n_threads=2, **asked)

    assert one == two


def test_of_very_many_columns_those_that_say_most_alone_take_part_and_all_have_a_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ranking, "MAX_RANKED", 3)
    train, validation = halves(two_of_ten())

    found = ranking.rank_columns(
        train,
        validation,
        {column: [column] for column in range(10)},
        relations=find_redundant(train, n_classes=0).relations,
        task_type="regression",
        n_classes=0,
        seed=0,
        n_threads=1,
    )

    assert set(found.useful) >= {0, 1}
    assert len(found.useful) <= 3
    assert sorted(found.order) == list(range(10))
    assert found.order[: len(found.useful)] == found.useful
    assert set(found.strongest) <= set(found.useful)


@pytest.mark.parametrize(("n_columns", "n_classes"), [(1, 0), (40, 2), (128, 26), (5_000, 300)])
def test_many_columns_and_classes_are_judged_on_fewer_rows(n_columns: int, n_classes: int) -> None:
    n_rows = ranking.judged_rows(n_columns, n_classes)

    assert 400 <= n_rows <= 8_000
    assert n_rows <= ranking.judged_rows(n_columns, 2) <= ranking.judged_rows(1, 2)


def test_a_sample_is_small_and_holds_every_rare_row() -> None:
    y = np.zeros(100_000, np.int32)
    y[::1_000] = 1
    part = encoded([np.arange(100_000), y], y)

    drawn = sample(part, n_classes=2, max_rows=2_000, seed=0)

    assert len(drawn.y) <= 2_500
    assert drawn.y.sum() == 100
    np.testing.assert_array_equal(drawn.X[:, 1], drawn.y)
    assert (np.diff(drawn.X[:, 0]) > 0).all()


def test_a_sample_of_a_wide_matrix_has_fewer_rows() -> None:
    part = Encoded(
        X=np.broadcast_to(np.float32(1), (30_000, 20_000)),
        y=np.arange(30_000.0),
        n_levels=(0,) * 20_000,
    )

    assert len(sample(part, n_classes=0, seed=0).y) == 1_000
