"""From scores to intervals, differences, and what remains when many are looked at."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from automl_assets.core.evaluation.intervals import wilson_interval
from automl_assets.core.evaluation.slicing.scores import Score


class Ends(NamedTuple):
    """The two ends of an interval."""

    low: float
    high: float


class Contrast(NamedTuple):
    """Whether two numbers differ: the difference, its standard error, and a p-value."""

    difference: float
    error: float
    freedom: float
    p_value: float


def interval(found: Score, confidence: float) -> Ends:
    """Return Wilson's interval of a share, and Student's of other scores; some by logits."""
    if found.n_share is not None:
        low, high, _ = wilson_interval(found.value * found.n_share, found.n_share, confidence)
        return Ends(low, high)
    half = _quantile(confidence, found.freedom) * found.error
    if not np.isfinite(half):
        return Ends(found.lowest, found.highest)
    if found.on_logits:
        odds, scale = found.value / (1 - found.value), found.value * (1 - found.value)
        ends = (odds * np.exp(sign * half / scale) for sign in (-1, 1))
        return Ends(*(float(end / (1 + end)) for end in ends))
    return Ends(
        max(found.value - half, min(found.value, found.lowest)),
        min(found.value + half, max(found.value, found.highest)),
    )


def contrast(ours: Score, theirs: Score) -> Contrast:
    """Test whether the score of some rows equals that of other rows.

    Shares are compared as if the truth were one share of both, so that a slice without any
    error is not taken for certain. Clusters with rows on both sides count once.
    """
    from scipy.special import stdtr

    difference = ours.value - theirs.value
    freedom = min(ours.freedom, theirs.freedom)
    error = _error_of_difference(ours, theirs)
    tested = error
    if ours.n_share is not None and theirs.n_share is not None:
        tested = max(_pooled_error(ours, theirs), error if ours.pulls is not None else 0.0)
    if not np.isfinite(tested) or np.isnan(difference):
        return Contrast(difference, np.inf, freedom, 1.0)
    if not tested:
        return Contrast(difference, 0.0, freedom, float(not difference))
    found = difference / tested
    if ours.on_logits and theirs.on_logits:
        on_scale, in_rest = _logit(ours), _logit(theirs)
        found = (on_scale.value - in_rest.value) / _error_of_difference(on_scale, in_rest)
    return Contrast(difference, tested, freedom, 2 * float(stdtr(freedom, -abs(found))))


def difference_interval(ours: Score, theirs: Score, confidence: float) -> Ends:
    """Return the interval of a difference.

    Of shares and areas it is Newcombe's (Statistics in Medicine 17, 1998): the two intervals
    joined as if they were errors of each side. Else Student's.
    """
    difference = ours.value - theirs.value
    is_bounded = [item.on_logits or item.n_share is not None for item in (ours, theirs)]
    if all(is_bounded):
        return joined(
            ours.value, interval(ours, confidence), theirs.value, interval(theirs, confidence)
        )
    error = _error_of_difference(ours, theirs)
    half = _quantile(confidence, min(ours.freedom, theirs.freedom)) * error
    return Ends(difference - half, difference + half)


def joined(ours: float, our_ends: Ends, theirs: float, their_ends: Ends) -> Ends:
    """Return the interval of a difference of independent numbers from theirs (Newcombe, 1998).

    Examples:
        >>> low, high = joined(0.5, Ends(0.4, 0.6), 0.3, Ends(0.3, 0.3))
        >>> round(low, 3), round(high, 3)
        (0.1, 0.3)
    """
    difference = ours - theirs
    down = ((ours - our_ends.low) ** 2 + (their_ends.high - theirs) ** 2) ** 0.5
    up = ((our_ends.high - ours) ** 2 + (theirs - their_ends.low) ** 2) ** 0.5
    return Ends(difference - down, difference + up)


def detectable(test: Contrast, *, confidence: float, power: float) -> float:
    """Return the smallest true difference that a two-sided test finds with some probability.

    Args:
        test: Its standard error counts.
        confidence: 1 - the probability of a false finding.
        power: Probability of finding the difference.
    """
    from scipy.special import stdtrit

    return (_quantile(confidence, test.freedom) + float(stdtrit(test.freedom, power))) * test.error


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values that hold for all tests together (S. Holm, 1979).

    Examples:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    order = np.argsort(p_values, kind="stable")
    n_tests = len(p_values)
    factors = np.arange(n_tests, 0, -1)
    rising = np.maximum.accumulate(np.asarray(p_values, float)[order] * factors)
    adjusted = np.empty(n_tests)
    adjusted[order] = np.minimum(rising, 1.0)
    return adjusted.tolist()


def shrunken(values: Sequence[float], errors: Sequence[float]) -> list[float]:
    """Draw noisy numbers towards their mean, each as far as its error calls for.

    Empirical Bayes with normal truths and normal errors; the variance of the truths is that
    of R. DerSimonian and N. Laird (Controlled Clinical Trials 7, 1986). Numbers without an
    error stay as they are.

    Examples:
        >>> [round(value, 2) for value in shrunken([0.1, 0.5, 0.9], [0.01, 0.01, 0.5])]
        [0.1, 0.5, 0.49]
        >>> [round(value, 2) for value in shrunken([0.49, 0.51], [0.1, 0.1])]
        [0.5, 0.5]
    """
    found, variances = np.asarray(values, float), np.asarray(errors, float) ** 2
    if len(found) < 2 or not (variances > 0).all():
        return found.tolist()
    weights = 1 / variances
    centre = (weights @ found) / weights.sum()
    spread = float(weights @ (found - centre) ** 2)
    scale = weights.sum() - (weights**2).sum() / weights.sum()
    between = max(0.0, (spread - (len(found) - 1)) / scale) if scale > 0 else 0.0
    towards = 1 / (variances + between)
    mean = (towards @ found) / towards.sum()
    return (mean + between / (between + variances) * (found - mean)).tolist()


def _logit(found: Score) -> Score:
    """Return a score on the logit scale, with its error there by the delta method."""
    scale = found.value * (1 - found.value)
    return replace(
        found,
        value=float(np.log(found.value / (1 - found.value))),
        error=found.error / scale,
        pulls=None if found.pulls is None else found.pulls / scale,
    )


def _error_of_difference(ours: Score, theirs: Score) -> float:
    if ours.pulls is not None and theirs.pulls is not None:
        length = max(len(ours.pulls), len(theirs.pulls))
        pulls = np.zeros(length)
        pulls[: len(ours.pulls)] += ours.pulls
        pulls[: len(theirs.pulls)] -= theirs.pulls
        return float(pulls @ pulls) ** 0.5
    return float((ours.error**2 + theirs.error**2) ** 0.5)


def _pooled_error(ours: Score, theirs: Score) -> float:
    n, m = ours.n_share or 0.0, theirs.n_share or 0.0
    if not n or not m:
        return np.inf
    pooled = (ours.value * n + theirs.value * m) / (n + m)
    return float((pooled * (1 - pooled) * (1 / n + 1 / m)) ** 0.5)


def _quantile(confidence: float, freedom: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + confidence) / 2))
