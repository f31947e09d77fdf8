"""Whether a trial's time is better spent on another one."""

from optuna.trial import FrozenTrial

from automl_assets.core.families import load_families
from automl_assets.core.metrics import load_metrics
from automl_assets.core.search.budget import COST_SHARES
from automl_assets.core.search.forecast import Forecast, Scale, forecast
from automl_assets.core.search.plan import QUICK, SearchPlan
from automl_assets.core.search.proposing import PARENT, PLAIN
from automl_assets.core.search.standing import ranked
from automl_assets.core.search.study import NOT_BEGUN, job_of, result_of
from automl_assets.core.search.trial import Job

BEHIND = 1.1
"""A family whose best candidate has so many times the error of the best of all is given no dear
trial any more."""


def better_spent(
    job: Job,
    expected: Forecast,
    trials: list[FrozenTrial],
    plan: SearchPlan,
    scale: Scale,
    *,
    left: float,
) -> str:
    """Return why the time of a trial is better spent on another one; empty if it is not.

    Args:
        left: Seconds until the final model must be begun.
    """
    if plan.time_limit_seconds is None or job.origin in ("baseline", PARENT):
        return ""
    if expected.is_cut_for_time and _yardsticks(trials, plan, scale, left=left):
        # What these learn from all rows in that time is worth more.
        return expected.too_slow
    is_dear = expected.needed > COST_SHARES[0] * plan.time_limit_seconds
    if is_dear and (ratio := _behind(job.family, trials, plan)) > BEHIND:
        return (
            f"{NOT_BEGUN}: it would take about {expected.needed:.1f} s, and the best of its "
            f"family so far has {ratio:.2f} times the error of the best"
        )
    return ""


def _yardsticks(
    trials: list[FrozenTrial], plan: SearchPlan, scale: Scale, *, left: float
) -> list[str]:
    """Return the families of plain boosting that are not behind and fit on all rows.

    That a linear model fits on all rows says nothing of what boosting on a part of them is worth.
    """
    fitting = affordable(trials, plan, scale, left=left, on_all_rows=True)
    return [item for item in fitting if item in PLAIN and _behind(item, trials, plan) <= BEHIND]


def _behind(family: str, trials: list[FrozenTrial], plan: SearchPlan) -> float:
    """Return the error of a family's best candidate over that of the best; 1 if it has none.

    Candidates whose fit was cut short, or saw a part of the rows, may show that a family is not
    behind, never that it is.
    """
    metric = load_metrics()[plan.metric]
    leaders = ranked(trials, plan)
    own = [trial for trial in leaders if (job := job_of(trial)) and job.family == family]
    best = metric.error(leaders[0].value or 0.0) if leaders else 0.0
    if not any(map(_is_whole, own)) or best <= 0:
        return 1.0
    ratio = metric.error(own[0].value or 0.0) / best
    whole = next(trial for trial in own if _is_whole(trial))
    return ratio if ratio <= BEHIND else metric.error(whole.value or 0.0) / best


def _is_whole(trial: FrozenTrial) -> bool:
    job, result = job_of(trial), result_of(trial)
    if job is None or result is None or job.origin == QUICK:
        return False
    return job.row_share >= 1 and not result.truncated and result.projected_loss is None


def affordable(
    trials: list[FrozenTrial],
    plan: SearchPlan,
    scale: Scale,
    *,
    left: float,
    on_all_rows: bool = False,
) -> list[str]:
    """Return the families of which something that was tried fits into the time, best first.

    Args:
        left: Seconds until the final model must be begun.
        on_all_rows: Whether it has to fit without leaving rows out.
    """
    families = load_families()
    # A forecast reads all trials: one of each family, the fastest, is enough.
    fastest: dict[str, tuple[float, Job]] = {}
    for trial in ranked(trials, plan):
        job = job_of(trial)
        if job is None or job.origin == QUICK:
            continue
        seconds = families[job.family].expected_seconds(scale.fit, job.params)
        if job.family not in fastest or seconds < fastest[job.family][0]:
            # As one that is proposed now: plain defaults may take longer, but are not again.
            again = job.model_copy(update={"origin": plan.sampler})
            fastest[job.family] = (seconds, again)
    expected = {
        family: forecast(job, trials, plan, scale, left=left, has_model=True)
        for family, (_, job) in fastest.items()
    }
    return [
        family
        for family, item in expected.items()
        if not item.refusal and (item.row_share >= 1 or not on_all_rows)
    ]
