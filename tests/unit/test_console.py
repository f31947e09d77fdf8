"""What the terminal shows of a search, wide or narrow, live or in lines."""

import io
from dataclasses import replace

import pytest
from rich.cells import cell_len
from rich.console import Console

from automl_assets.cli.console import ConsoleProgress, describe, live_view
from automl_assets.cli.story import print_search
from automl_assets.core.search.plan import SearchStatus
from tests.candidate_sets import candidate_set

STATUS = SearchStatus(
    n_finished=29,
    n_failed=3,
    running=("hist_gradient_boosting", "lightgbm"),
    n_trials=40,
    best_score=0.925,
    best_family="catboost",
    seconds=80.0,
    seconds_left=72.0,
    metric="roc_auc",
    n_inadmissible=5,
    leaders=candidate_set().leaderboard[:8],
    seconds_by_family=(("linear", 2.0), ("catboost", 61.2)),
    memory_mb=812.0,
)


def terminal(width: int, *, height: int = 24, live: bool = False) -> tuple[Console, io.StringIO]:
    written = io.StringIO()
    console = Console(
        file=written, width=width, height=height, force_terminal=live, highlight=False
    )
    return console, written


def lines_of(status: SearchStatus, *, width: int, height: int = 24) -> list[str]:
    console, written = terminal(width)
    console.print(live_view(status, width=width, height=height))
    return written.getvalue().splitlines()


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
def test_the_live_view_fits_the_terminal(width: int) -> None:
    lines = lines_of(STATUS, width=width)

    assert all(cell_len(line) <= width for line in lines)
    # The head, the table with its heading, the two lines below, and two between them.
    assert len(lines) == 1 + 9 + 2 + 2


@pytest.mark.parametrize("height", [9, 12, 15, 24])
def test_a_low_terminal_shows_fewer_leaders(height: int) -> None:
    assert len(lines_of(STATUS, width=80, height=height)) < height


def test_sixty_columns_show_score_gap_and_time_of_each_leader() -> None:
    text = "\n".join(lines_of(STATUS, width=60))

    assert all(word in text for word in ("trial", "family", "roc_auc", "gap", "CPU s"))
    assert all(f"{item.score:.5g}" in text for item in STATUS.leaders)
    assert "29/40 trials, 1:12 min left" in text
    assert "size" not in text


def test_a_wide_terminal_shows_size_and_who_proposed_it() -> None:
    text = "\n".join(lines_of(STATUS, width=120))

    assert "portfolio" in text
    assert " MB" in text
    assert "CPU s: catboost 61, linear 2" in text
    assert "5 break a limit · 812 MB" in text


def test_a_search_that_knows_nothing_yet_has_a_view() -> None:
    bare = replace(STATUS, leaders=(), best_score=None, running=(), seconds_by_family=())

    assert "29/40 trials" in "\n".join(lines_of(bare, width=60))


def test_the_last_stage_is_named() -> None:
    final = replace(STATUS, stage="final model")

    assert "final model" in lines_of(final, width=60)[0]
    assert "making the final model" in describe(final)


def test_without_a_terminal_only_a_better_score_or_a_new_stage_is_a_line() -> None:
    console, written = terminal(100)

    with ConsoleProgress(console) as progress:
        for n_finished in range(10):
            progress.search(replace(STATUS, n_finished=n_finished, best_score=None))
        for n_finished in range(10, 20):
            progress.search(replace(STATUS, n_finished=n_finished))
        progress.search(replace(STATUS, best_score=0.93))
        progress.search(replace(STATUS, best_score=0.93, stage="final model"))

    lines = written.getvalue().splitlines()
    assert ["10/40" in lines[0], "0.93 " in lines[1], "final model" in lines[2]] == [True] * 3
    assert len(lines) == 3


def test_on_a_terminal_the_view_is_drawn_in_place_and_gone_at_the_end() -> None:
    console, written = terminal(80, live=True)

    with ConsoleProgress(console) as progress:
        progress.stage("read", "3 rows [not markup]")
        progress.search(STATUS)
        progress.search(replace(STATUS, best_score=0.93))
        progress.stage("judged", "0.9")

    text = written.getvalue()
    assert "read     3 rows [not markup]" in text
    assert "catboost" in text
    assert "\x1b[2K" in text  # lines are wiped, the screen never is
    assert "\x1b[2J" not in text
    assert text.rstrip().splitlines()[-1].endswith("judged   0.9")
    assert "\x1b[?25h" in text  # the cursor is shown again


def test_the_cursor_comes_back_after_ctrl_c() -> None:
    console, written = terminal(80, live=True)
    progress = ConsoleProgress(console)
    progress.search(STATUS)

    with pytest.raises(KeyboardInterrupt), progress:
        raise KeyboardInterrupt

    assert written.getvalue().rindex("\x1b[?25h") > written.getvalue().rindex("\x1b[?25l")


# --- the end of the story ------------------------------------------------------------------------


def story(width: int, **more: object) -> str:
    console, written = terminal(width)
    print_search(candidate_set(40).model_copy(update=more), console)
    return written.getvalue()


def table_lines(text: str) -> list[str]:
    lines = text.splitlines()
    first = next(index for index, line in enumerate(lines) if line.startswith("trial"))
    return lines[first : first + 9]


@pytest.mark.parametrize("width", [50, 60, 80, 108, 160])
def test_the_leaderboard_fits_the_terminal(width: int) -> None:
    assert all(cell_len(line) <= width for line in table_lines(story(width)))


def test_a_wide_terminal_has_the_reasons_beside_the_scores() -> None:
    lines = table_lines(story(160))

    assert "why not" in lines[0]
    assert "in the model" in lines[1]
    assert all(line.rstrip().endswith(("in the model", "worse")) for line in lines[1:])


def test_the_story_says_why_trials_could_not_win_and_what_the_model_is() -> None:
    text = story(60)

    assert "p99_latency_ms 17.2, at most 15" in text
    assert "4 trials failed: MemoryError: 2,048 MB" in text
    assert "made of  ensemble of 3: " in text
    assert "limit    beat_baseline_by 0.31, asked at least 0.02" in text
    assert "p99_latency_ms 4.5, asked at most 15; 8 trials break it" in text
    assert "left out knn: It cannot honour model.monotonic." in text


def test_reasons_that_differ_in_numbers_only_are_told_once() -> None:
    found = candidate_set(40).leaderboard
    late = [
        found[-1].model_copy(update={"number": 90 + n, "reason": f"it would take about {n}.5 s"})
        for n in range(3)
    ]

    text = story(120, leaderboard=(*found[:8], *late))

    assert "3 trials failed: it would take about 0.5 s, and the like" in text
    assert text.count("it would take about") == 1


def test_a_reason_with_brackets_is_text() -> None:
    failed = candidate_set(40).leaderboard[-1].model_copy(update={"reason": "[bold]oops[/x]"})

    assert "[bold]oops[/x]" in story(120, leaderboard=(*candidate_set(40).leaderboard, failed))
