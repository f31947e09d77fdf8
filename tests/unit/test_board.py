"""The honest leaderboard: what the best score is worth, and who is tied with it."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl_assets.cli.story import tied_lines
from automl_assets.core.errors import ContractError
from automl_assets.core.evaluation import resampled_scores
from automl_assets.core.evaluation.board import expected_seconds, make_board, tied_with_best
from automl_assets.core.evaluation.row_values import row_values
from automl_assets.core.evaluation.sections import board as section
from automl_assets.core.evaluation.sections.board import Leaderboard
from automl_assets.core.metrics import load_metrics
from automl_assets.core.report.card import _search_summary
from automl_assets.core.report.figures import draw_pictures
from automl_assets.core.report.render import templates
from automl_assets.core.report.section_pictures.board import PICTURES
from automl_assets.core.values import Board, CandidateSet, Contender
from tests.candidate_sets import candidate_set
from tests.examinations import make_examined

METRICS = load_metrics()
CASES = [(name, task) for name, metric in METRICS.items() for task in sorted(metric.task_types)]


def draw_rows(task: str, n_rows: int, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return a target, positive for a tenth of the rows if binary, and rounded predictions."""
    rng = np.random.default_rng(seed)
    if task == "regression":
        y = rng.normal(size=n_rows) + 2
        return y, y + 0.7 * rng.normal(size=n_rows)
    n_classes = 2 if task == "binary" else 4
    y = rng.integers(0, 4, n_rows) if n_classes == 4 else (rng.random(n_rows) < 0.1).astype(int)
    odds = np.exp(np.round(rng.normal(size=(n_rows, n_classes)) + 1.2 * np.eye(n_classes)[y], 1))
    return y, odds / odds.sum(axis=1, keepdims=True)


def compare(losses: np.ndarray, *, seed: int = 0, **changes: Any) -> Board:
    """Return the board of candidates with these losses of each row, by mean absolute error."""
    columns = list(np.asarray(losses, np.float64).T)
    board = make_board(
        METRICS["mae"],
        np.zeros(len(losses)),
        columns,
        numbers=range(len(columns)),
        scores=[float(column.mean()) for column in columns],
        seed=seed,
        **changes,
    )
    assert board is not None
    return board


def noise(n_rows: int, n_candidates: int, *, rho: float = 0.5, seed: int = 0) -> np.ndarray:
    """Return losses about 9, correlated between candidates."""
    rng = np.random.default_rng(seed)
    shared = rho**0.5 * rng.normal(size=(n_rows, 1))
    return 9 + shared + (1 - rho) ** 0.5 * rng.normal(size=(n_rows, n_candidates))


# --- values of rows -------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "task"), CASES)
def test_the_mean_of_the_rows_values_is_the_score(name: str, task: str) -> None:
    y, prediction = draw_rows(task, 800)

    values = row_values(METRICS[name], y, prediction)

    expected = METRICS[name].score(y, prediction)
    assert values is None or float(values.mean()) == pytest.approx(expected, abs=1e-12)
    assert (values is None) == (name == "median_absolute_error")


@pytest.mark.parametrize(
    ("name", "task"), [case for case in CASES if case[0] != "median_absolute_error"]
)
def test_resampled_values_move_as_the_metric_does(name: str, task: str) -> None:
    y, prediction = draw_rows(task, 2_000)
    values = row_values(METRICS[name], y, prediction)
    assert values is not None
    rng = np.random.default_rng(1)

    rows = rng.integers(0, len(y), (200, len(y)))
    exact = np.array([METRICS[name].score(y[some], prediction[some]) for some in rows])
    linear = values[rows].mean(axis=1)

    assert np.corrcoef(exact, linear)[0, 1] > 0.98
    assert linear.std() == pytest.approx(exact.std(), rel=0.06)


@pytest.mark.parametrize("name", ["precision", "recall", "f1", "mcc", "rmse", "r2"])
def test_where_a_metric_has_nothing_to_count_no_row_moves_it(name: str) -> None:
    metric = METRICS[name]
    y, prediction = np.zeros(6), np.tile([0.9, 0.1], (6, 1))
    if "regression" in metric.task_types:
        prediction = y

    values = row_values(metric, y, prediction)

    assert values is not None
    assert values.tolist() == [metric.score(y, prediction)] * 6


# --- who is tied ----------------------------------------------------------------------------------


def test_one_that_is_clearly_better_is_alone() -> None:
    losses = noise(500, 6)
    losses[:, 4] -= 1.0

    board = compare(losses)

    assert board.tied == (4,)
    assert board.best.p_best == 1.0
    assert board.corrected == pytest.approx(board.naive, abs=0.02)


def test_equal_candidates_are_tied_and_share_their_chance() -> None:
    losses = np.repeat(noise(300, 1), 4, axis=1)

    board = compare(losses)

    assert set(board.tied) == {0, 1, 2, 3}
    assert [item.p_best for item in board.contenders] == pytest.approx([0.25] * 4)
    assert [item.number for item in board.contenders] == [0, 1, 2, 3]


def test_one_that_is_worse_by_the_same_on_every_row_is_not_tied() -> None:
    first = noise(300, 1)

    board = compare(np.column_stack([first, first + 0.01]))

    assert board.tied == (0,)


def test_what_is_good_for_a_metric_decides_who_is_best() -> None:
    y = np.arange(400) % 2
    good = np.where((y == 1)[:, None], [0.1, 0.9], [0.9, 0.1])
    poor = np.full((400, 2), 0.5)
    for name in ("accuracy", "log_loss", "roc_auc"):
        metric = METRICS[name]
        scores = [metric.score(y, item) for item in (poor, good)]
        board = make_board(metric, y, [poor, good], numbers=[7, 8], scores=scores, seed=0)
        assert board is not None
        assert board.best.number == 8
        assert board.tied == (8,)
        assert board.naive == scores[1]


def test_more_rows_tell_more_candidates_apart() -> None:
    means = np.linspace(0, 0.5, 20)

    few, many = (compare(noise(n, 20) + means) for n in (200, 5_000))

    assert len(many.tied) < len(few.tied)


@given(
    seed=st.integers(0, 10_000),
    n_rows=st.integers(2, 60),
    n_candidates=st.integers(2, 8),
    decimals=st.integers(0, 3),
)
@settings(max_examples=40, deadline=None)
def test_the_best_is_always_tied_with_itself_and_chances_add_up(
    seed: int, n_rows: int, n_candidates: int, decimals: int
) -> None:
    board = compare(np.round(noise(n_rows, n_candidates, seed=seed), decimals), seed=seed)

    assert board.best.number in board.tied
    assert board.naive == min(item.score for item in board.contenders) == board.best.score
    assert sum(item.p_best for item in board.contenders) == pytest.approx(1.0)
    assert board.naive - 1e-9 <= board.corrected
    assert board.low <= board.corrected <= board.high
    assert board == compare(np.round(noise(n_rows, n_candidates, seed=seed), decimals), seed=seed)


def test_among_equals_nobody_is_out_more_often_than_was_asked_for() -> None:
    rng = np.random.default_rng(0)
    n_out = sum(
        not tied_with_best(
            rng.normal(size=5), rng.normal(size=(200, 5)) * np.ones(5), confidence=0.8
        )[0]
        for _ in range(300)
    )

    assert 0.02 < n_out / 300 < 0.26


# --- which rows -----------------------------------------------------------------------------------


def test_rows_of_one_group_count_as_one() -> None:
    losses, groups = np.repeat(noise(200, 5), 10, axis=0), np.repeat(np.arange(200), 10)

    alone, grouped = compare(losses), compare(losses, groups=groups)

    assert grouped.by_group
    assert not alone.by_group
    assert grouped.high - grouped.low > 2 * (alone.high - alone.low)
    assert len(grouped.tied) >= len(alone.tied)


def test_errors_are_those_of_all_rows_though_some_are_drawn(monkeypatch) -> None:
    losses = noise(40_000, 5)
    everything = 4 * resampled_scores.DRAWN_ROWS

    drawn = compare(losses)
    monkeypatch.setattr(resampled_scores, "DRAWN_ROWS", everything)
    whole = compare(losses)

    assert (drawn.n_rows, drawn.n_drawn, whole.n_drawn) == (40_000, 10_000, 40_000)
    assert drawn.high - drawn.low == pytest.approx(whole.high - whole.low, rel=0.15)


def test_groups_are_drawn_whole(monkeypatch) -> None:
    monkeypatch.setattr(resampled_scores, "DRAWN_ROWS", 1_000)
    groups = np.random.default_rng(0).integers(0, 400, 5_000)

    drawn = resampled_scores.draw_rows(
        5_000, groups, wanted=1_000, generator=np.random.default_rng(1)
    )

    assert 900 < len(drawn.rows) <= 1_000
    sizes = np.bincount(groups[drawn.rows], minlength=400)
    assert set(sizes[sizes > 0]) <= set(np.bincount(groups, minlength=400))
    assert np.all(sizes[sizes > 0] == np.bincount(groups, minlength=400)[sizes > 0])
    assert drawn.share == pytest.approx(drawn.n_units / 400)


def test_where_a_class_is_rare_more_rows_are_drawn() -> None:
    y = (np.arange(200_000) % 500 == 0).astype(int)
    prediction = np.full((200_000, 2), 0.5)

    assert resampled_scores.n_rows_to_draw(y, prediction) == 25_000


@pytest.mark.parametrize("grouped", [False, True])
def test_a_metric_without_values_of_rows_scores_resamples_itself(grouped: bool) -> None:
    metric, y = METRICS["median_absolute_error"], np.zeros(3_000)
    groups = np.arange(3_000) // 5 if grouped else None
    widths = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        predictions = [np.abs(rng.normal(mean, 0.3, 3_000)) for mean in (1, 2)]
        scores = [metric.score(y, item) for item in predictions]
        board = make_board(
            metric, y, predictions, numbers=[0, 1], scores=scores, seed=seed, groups=groups
        )
        assert board is not None
        assert board.tied == (0,)
        assert "200 resamples" in board.method
        widths.append(board.high - board.low)

    # Of the median of 3,000 values that are about normal.
    assert np.mean(widths) / 3.92 == pytest.approx(1.2533 * 0.3 / 3_000**0.5, rel=0.2)


@pytest.mark.parametrize(
    ("n_rows", "n_candidates", "groups"),
    [(100, 1, None), (1, 3, None), (50, 3, np.zeros(50))],
)
def test_nobody_is_compared_where_there_is_nothing_to_compare(
    n_rows: int, n_candidates: int, groups: np.ndarray | None
) -> None:
    columns = list(noise(n_rows, n_candidates).T)
    scores = [float(column.mean()) for column in columns]

    board = make_board(
        METRICS["mae"],
        np.zeros(n_rows),
        columns,
        numbers=range(n_candidates),
        scores=scores,
        seed=0,
        groups=groups,
    )

    assert board is None


def test_rows_of_one_class_do_not_rank() -> None:
    prediction = np.full((50, 2), 0.5)

    with pytest.raises(ContractError, match="rows of both classes"):
        make_board(
            METRICS["roc_auc"],
            np.zeros(50),
            [prediction, prediction],
            numbers=[0, 1],
            scores=[0.5, 0.5],
            seed=0,
        )


def test_what_it_is_expected_to_take_does_not_grow_with_the_rows() -> None:
    y = np.zeros(1_000_000)

    few, many = (
        expected_seconds(METRICS["rmse"], y[:n], y[:n], n_candidates=40) for n in (20_000, len(y))
    )

    assert few == many < 1.0


# --- how often it is right ------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("rho", [0.5, 0.95])
def test_the_tied_hold_the_true_best_and_the_interval_the_truth(rho: float) -> None:
    rng = np.random.default_rng(int(100 * rho))
    n_runs, hits = 400, {"tied": 0, "corrected": 0, "naive": 0}
    for run in range(n_runs):
        truth = 0.01 * rng.normal(size=50)
        losses = noise(1_000, 50, rho=rho, seed=int(rng.integers(2**31))) + truth
        board = compare(losses, seed=run)
        chosen = board.best.number
        worth = 9 + truth[chosen]
        half = 1.96 * losses[:, chosen].std(ddof=1) / 1_000**0.5
        hits["tied"] += int(truth.argmin()) in board.tied
        hits["corrected"] += board.low <= worth <= board.high
        hits["naive"] += abs(board.naive - worth) <= half

    shares = {name: hits[name] / n_runs for name in hits}
    assert shares["tied"] >= 0.94, shares
    assert shares["corrected"] >= 0.93, shares
    assert (shares["naive"] < 0.9) == (rho == 0.5), shares


# --- what people see ------------------------------------------------------------------------------


def board_of(candidates: CandidateSet, n_tied: int = 3) -> Board:
    admissible = [item for item in candidates.leaderboard if item.is_admissible]
    score = admissible[0].score or 0.0
    worse = -0.004 if candidates.direction == "maximize" else 0.004
    return Board(
        metric=candidates.metric,
        direction=candidates.direction,
        contenders=tuple(
            Contender(
                number=item.number,
                score=item.score or 0.0,
                p_best=1 / n_tied if place < n_tied else 0.0,
                is_tied=place < n_tied,
            )
            for place, item in enumerate(admissible)
        ),
        naive=score,
        corrected=score + worse,
        low=score + worse - 0.01,
        high=score + worse + 0.01,
        method="bootstrap of row influences, 1,000 resamples",
        seed=7,
        n_rows=1_200,
        n_drawn=1_200,
    )


def found(task: Any = "binary", *, n_tied: int = 3, n_trials: int = 40, **changes: Any) -> Any:
    metric = {"binary": "roc_auc"}.get(task, "log_loss" if task == "multiclass" else "rmse")
    candidates = candidate_set(n_trials, metric=metric)
    changed = {"board": board_of(candidates, n_tied), "metric": metric} | changes
    candidates = candidates.model_copy(update=changed)
    examined = make_examined(task, n_rows=300, groups=task == "regression")
    return section.examine(type(examined)(**{**vars(examined), "candidates": candidates}))


def page(leaderboard: Leaderboard) -> str:
    template = templates().get_template("sections/board.html.j2")
    metrics = {name: {"label": metric.label} for name, metric in METRICS.items()}
    return template.render(
        section=json.loads(leaderboard.model_dump_json()), card={"metrics": metrics}
    )


def text_of(html: str) -> str:
    return " ".join(html.replace("<strong>", "").replace("</strong>", "").split())


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_the_section_says_in_words_how_many_are_tied(task: str) -> None:
    leaderboard = found(task)

    told = text_of(page(leaderboard))

    n_compared = leaderboard.n_compared
    assert f"3 of {n_compared} candidates cannot be told apart from the best" in told
    assert f"the best of {n_compared}" in told
    assert section.sentences(leaderboard)[0].startswith(f"3 of {n_compared} candidates cannot")
    assert leaderboard.ignored_group == ("customer" if task == "regression" else "")
    assert any("customer" in text for text in section.limits(leaderboard)) == (task == "regression")


def test_one_that_is_better_than_all_others_is_named() -> None:
    leaderboard = found(n_tied=1)

    best = leaderboard.entries[0].number
    assert f"Trial {best} is better than the" in text_of(page(leaderboard))
    assert "better than the" in section.sentences(leaderboard)[0]


def test_the_winner_is_in_the_table_whatever_its_place() -> None:
    candidates = candidate_set(40, single=True)
    last = board_of(candidates).contenders[-1].number
    (member,) = candidates.members
    members = (member.model_copy(update={"number": last}),)

    leaderboard = found(members=members, winner=last, select="simplest_of_tied")

    assert leaderboard.entries[-1].number == last
    assert len(leaderboard.entries) == section.MAX_SHOWN + 1
    assert f"As the request asks, trial {last} was taken" in text_of(page(leaderboard))


def test_the_picture_has_one_dot_for_each_entry() -> None:
    leaderboard = found()

    (figure,) = draw_pictures("board", PICTURES.pictures(leaderboard))

    assert all(f"{item.number} {item.family}" in figure.svg for item in leaderboard.entries)
    assert "1,200 rows" in figure.caption


def test_without_a_board_there_is_no_section() -> None:
    assert found(board=None) is None


def test_the_story_says_how_many_are_tied() -> None:
    candidates = candidate_set(40)
    board = board_of(candidates)
    told = candidates.model_copy(update={"board": board})

    lines = tied_lines(told)
    simplest = tied_lines(told.model_copy(update={"select": "simplest_of_tied"}))

    n_compared = len(board.contenders)
    assert lines[0] == ("tied", f"3 of {n_compared} candidates are statistically tied")
    assert simplest[0][1].endswith("statistically tied; this is the simplest of them")
    assert tied_lines(candidates) == []


def test_what_earlier_versions_stored_still_loads() -> None:
    stored = json.loads(candidate_set(10).model_dump_json())
    del stored["board"], stored["select"]

    candidates = CandidateSet.model_validate(stored)

    assert candidates.board is None
    assert candidates.select == "best"


def test_who_is_tied_is_told_once_in_the_leaderboard_and_not_in_the_search_again() -> None:
    template = templates().get_template("search.html.j2")
    candidates = candidate_set(40)

    def rendered(told: CandidateSet) -> str:
        context = {
            "search": told.model_dump(mode="json"),
            "summary": _search_summary(told),
            "evaluation": {
                "task_type": "binary",
                "metrics": [{"value": 0.9, "low": 0.88, "high": 0.92}],
            },
        }
        return template.render(
            **context,
            primary="ROC AUC",
            selection="the validation part",
            endings={"time_limit": "when the time was up"},
            winner=context["search"]["leaderboard"][0],
            search_figures=(),
            max_leaders=10,
            max_listed=200,
        )

    with_board = rendered(candidates.model_copy(update={"board": board_of(candidates)}))

    assert with_board == rendered(candidates)
    assert "Candidates, and why they did not win" in with_board
