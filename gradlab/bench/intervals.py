"""Confidence intervals over seeds: Student's t for a mean, Welch's t for a difference.

With the three to ten seeds that a study can afford, resampling the seeds would only repeat a
handful of values, so the intervals here come from Student's distribution. They are two-sided and
each holds on its own; no correction for the number of comparisons is made.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

CONFIDENCE = 0.95
"""Confidence of every interval of a report."""

METHOD = "two-sided 95 % Student t interval over seeds"
"""How a report names the intervals that it shows."""

RESOLUTION = 1e-6
"""Relative half-width below which no interval shrinks: single precision resolves no more."""


@dataclass(frozen=True)
class Interval:
    """A point with an interval around it.

    Args:
        center: the estimate, infinity where a seed failed.
        low: lower end.
        high: upper end.
        n: number of seeds behind it.
    """

    center: float
    low: float
    high: float
    n: int

    @property
    def finite(self) -> bool:
        """Whether both ends are finite numbers."""
        return math.isfinite(self.low) and math.isfinite(self.high)

    def overlaps(self, other: Interval) -> bool:
        """Whether the two closed intervals share a point; an unknown end overlaps everything."""
        ends = (self.low, self.high, other.low, other.high)
        if any(math.isnan(end) for end in ends):
            return True
        return self.low <= other.high and other.low <= self.high

    def map(self, function) -> Interval:
        """The interval with an increasing function applied to its three numbers."""
        return Interval(function(self.center), function(self.low), function(self.high), self.n)


def t_quantile(degrees: float, confidence: float = CONFIDENCE) -> float:
    """The two-sided quantile of Student's t distribution.

    Args:
        degrees: degrees of freedom, above 0.
        confidence: probability between minus and plus the quantile, in (0, 1).

    Returns:
        The quantile, e.g. 4.303 for two degrees of freedom at 0.95.
    """
    return float(stdtrit(degrees, 0.5 + confidence / 2))


def mean_interval(values: Sequence[float] | np.ndarray, confidence: float = CONFIDENCE) -> Interval:
    """The mean over seeds with its Student t interval.

    `mean ± t(n − 1) · s / √n`, with `s` the standard deviation with `n − 1` in its denominator and
    a half-width of at least `RESOLUTION · |mean|`.

    Args:
        values: one number for each seed; infinity or NaN marks a failed seed.
        confidence: probability that the interval covers the mean.

    Returns:
        The interval. One seed has a mean and no finite interval; a failed seed makes the mean and
        the upper end infinite and the lower end minus infinity; no seed gives NaN throughout.
    """
    data = np.asarray(values, dtype=np.float64)
    n = int(data.size)
    if n == 0:
        return Interval(math.nan, math.nan, math.nan, 0)
    if not np.all(np.isfinite(data)):
        return Interval(math.inf, -math.inf, math.inf, n)
    mean = float(data.mean())
    if n == 1:
        return Interval(mean, -math.inf, math.inf, 1)
    half = t_quantile(n - 1, confidence) * float(data.std(ddof=1)) / math.sqrt(n)
    half = max(half, RESOLUTION * abs(mean))
    return Interval(mean, mean - half, mean + half, n)


def welch_difference(
    first: Sequence[float] | np.ndarray,
    second: Sequence[float] | np.ndarray,
    confidence: float = CONFIDENCE,
) -> Interval:
    """The difference of two means over seeds, `first − second`, with Welch's t interval.

    The seeds of two optimizers start from equal parameters and see equal batches, so a paired test
    would be allowed. Welch's is used all the same: at three seeds pairing leaves two degrees of
    freedom instead of up to four, runs decorrelate after a few hundred steps, and two separate
    Student intervals that do not overlap always exclude zero here too, so a table can never show
    apart what this interval calls equal.

    Args:
        first: one finite number for each seed.
        second: one finite number for each seed.
        confidence: probability that the interval covers the difference.

    Returns:
        The interval; without a finite half-width where a side has fewer than two seeds.

    References:
        Welch, The generalization of "Student's" problem when several different population
        variances are involved, Biometrika 34, 1947.
    """
    a, b = (np.asarray(side, dtype=np.float64) for side in (first, second))
    n = int(min(a.size, b.size))
    if n == 0:
        return Interval(math.nan, math.nan, math.nan, 0)
    if not (np.all(np.isfinite(a)) and np.all(np.isfinite(b))):
        return Interval(math.nan, -math.inf, math.inf, n)
    center = float(a.mean() - b.mean())
    if n == 1:
        return Interval(center, -math.inf, math.inf, 1)
    squares = [float(side.var(ddof=1)) / side.size for side in (a, b)]
    half = RESOLUTION * math.hypot(float(a.mean()), float(b.mean()))
    if sum(squares) > 0:
        degrees = _welch_degrees(squares, (a.size, b.size))
        half = max(half, t_quantile(degrees, confidence) * math.sqrt(sum(squares)))
    return Interval(center, center - half, center + half, n)


def _welch_degrees(squares: Sequence[float], sizes: Sequence[int]) -> float:
    """Welch–Satterthwaite degrees of freedom from squared standard errors, free of underflow."""
    shares = [square / max(squares) for square in squares]
    return sum(shares) ** 2 / sum(
        share**2 / (size - 1) for share, size in zip(shares, sizes, strict=True)
    )
