"""Whether a trial's time is better spent on another one."""

from optuna.trial import FrozenTrial

from automl_assets.core.families import load_families
from automl_assets.core.metrics import load_metrics
from automl_assets.core.search.budget import COST_SHARES
from automl_assets.core.search.forecast import Forecast, Scale, forecast
from automl_assets.core.search.plan import QUICK, SearchPlan
from automl_assets.core.search.standing import ranked
from automl_assets.core.search.study import NOT_BEGUN, job_of, result_of
from automl_assets.core.search.trial import Job

BEHIND = 1.05
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
    if plan.time_limit_seconds is None or job.origin == "baseline":
        return ""
    if expected.is_cut_for_time and affordable(trials, plan, scale, left=left, on_all_rows=True):
        # What others learn from all rows in that time is worth more.
        return expected.too_slow
    is_dear = expected.needed > COST_SHARES[0] * plan.time_limit_seconds
    if is_dear and (ratio := _behind(job.family, trials, plan)) > BEHIND:
        return (
            f"{NOT_BEGUN}: it would take about {expected.needed:.1f} s, and the best of its "
            f"family so far has {ratio:.2f} times the error of the best"
        )
    return ""


def _behind(family: str, trials: list[FrozenTrial], plan: SearchPlan) -> float:
    """Return the error of a family's best candidate over that of the best; 1 if it has none.

    Candidates that were cut short, or saw a part of the rows, tell nothing of their family.
    """
    metric = load_metrics()[plan.metric]
    leaders = ranked(trials, plan)
    for trial in leaders:
        job, result = job_of(trial), result_of(trial)
        if job is None or result is None or job.family != family:
            continue
        if job.origin != QUICK and job.row_share >= 1 and not result.truncated:
            best = metric.error(leaders[0].value or 0.0)
            return metric.error(trial.value or 0.0) / best if best > 0 else 1.0
    return 1.0


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
            fastest[job.family] = (seconds, job)
    expected = {
        family: forecast(job, trials, plan, scale, left=left, has_model=True)
        for family, (_, job) in fastest.items()
    }
    return [
        family
        for family, item in expected.items()
        if not item.refusal and (item.row_share >= 1 or not on_all_rows)
    ]
