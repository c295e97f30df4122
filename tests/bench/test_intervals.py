"""Intervals are what a table of Student's distribution gives, and honest about failed seeds."""

import math

import numpy as np
import pytest

from gradlab.bench.intervals import Interval, mean_interval, t_quantile, welch_difference

INF = math.inf


class TestIntervals:
    def test_the_quantile_for_three_seeds_is_the_one_in_every_table(self):
        assert t_quantile(2) == pytest.approx(4.302653, abs=1e-6)
        assert t_quantile(9) == pytest.approx(2.262157, abs=1e-6)

    def test_mean_and_half_width_of_three_seeds(self):
        interval = mean_interval([1.0, 2.0, 3.0])
        half = 4.302653 * 1.0 / math.sqrt(3)
        assert interval.center == 2.0
        assert interval.high - 2.0 == pytest.approx(half, rel=1e-6)
        assert 2.0 - interval.low == pytest.approx(half, rel=1e-6)
        assert interval.n == 3

    def test_one_seed_has_a_mean_and_no_interval(self):
        assert mean_interval([5.0]) == Interval(5.0, -INF, INF, 1)

    def test_a_failed_seed_makes_the_mean_infinite_and_the_interval_empty_of_information(self):
        assert mean_interval([1.0, INF, 1.0]) == Interval(INF, -INF, INF, 3)
        assert mean_interval([1.0, math.nan]).center == INF

    def test_no_seed_overlaps_everything(self):
        nothing = mean_interval([])
        assert math.isnan(nothing.center)
        assert nothing.overlaps(Interval(1, 1, 1, 3))

    def test_touching_intervals_overlap(self):
        assert Interval(1, 0, 2, 3).overlaps(Interval(3, 2, 4, 3))
        assert Interval(3, 2, 4, 3).overlaps(Interval(1, 0, 2, 3))
        assert not Interval(1, 0, 1.9, 3).overlaps(Interval(3, 2, 4, 3))

    def test_equal_seeds_do_not_shrink_an_interval_below_single_precision(self):
        interval = mean_interval([1.0, 1.0, 1.0])
        assert interval.high - interval.low == pytest.approx(2e-6)

    def test_welch_on_a_case_worked_out_by_hand(self):
        # variances 1 and 4, three seeds each: standard error sqrt(5/3), 2.94 degrees of freedom
        interval = welch_difference([1.0, 2.0, 3.0], [2.0, 4.0, 6.0])
        degrees = (1 / 3 + 4 / 3) ** 2 / ((1 / 3) ** 2 / 2 + (4 / 3) ** 2 / 2)
        assert interval.center == -2.0
        assert interval.high == pytest.approx(-2 + t_quantile(degrees) * math.sqrt(5 / 3))

    def test_intervals_cover_the_truth_as_often_as_they_say(self):
        random = np.random.default_rng(0)
        hits = sum(
            (i := mean_interval(random.normal(7, 2, 4))).low <= 7 <= i.high for _ in range(4000)
        )
        assert 0.94 < hits / 4000 < 0.96

    def test_separate_intervals_always_mean_a_difference_that_excludes_zero(self):
        random = np.random.default_rng(1)
        apart = 0
        for _ in range(2000):
            sizes = random.integers(2, 6, 2)
            scales = 10.0 ** random.uniform(-9, 1, 2)
            a, b = (
                random.normal(mean, scale, size)
                for mean, scale, size in zip((0, 3), scales, sizes, strict=True)
            )
            if not mean_interval(a).overlaps(mean_interval(b)):
                apart += 1
                difference = welch_difference(a, b)
                assert difference.low > 0 or difference.high < 0
        assert apart > 500
