"""Scores over problems, each against a case small enough to work out by hand."""

import math

import numpy as np
import pytest

from gradlab.bench.profiles import (
    learning_rate_sensitivity,
    performance_profile,
    profile_costs,
    relative_cost,
)
from gradlab.bench.rows import sweep, tuned_row
from tests.bench.synthetic import (
    results_of,
    sweep_of,
    valley,
)

INF = math.inf


class TestProfiles:
    def test_profile_and_score_of_two_optimizers_on_two_problems(self):
        fast, slow = performance_profile({"fast": [1.0, 3.0], "slow": [2.0, 3.0]})
        assert fast.ratios == (1.0, 1.0)
        assert fast.score == 1.0
        assert slow.ratios == (2.0, 1.0)
        # half the problems from tau 1, all of them from tau 2: (0.5 * 1 + 1 * 2) / 3
        assert slow.score == pytest.approx(2.5 / 3)
        assert slow.taus == (1.0, 2.0, 4.0)
        assert slow.fractions == (0.5, 1.0, 1.0)

    def test_the_exact_score_is_the_area_under_a_fine_grid(self):
        random = np.random.default_rng(3)
        table = {name: np.exp(random.normal(0, 1, 8)).tolist() for name in "abcd"}
        taus = np.linspace(1, 4, 20_001)
        for profile in performance_profile(table):
            grid = [(np.array(profile.ratios) <= tau).mean() for tau in taus]
            assert profile.score == pytest.approx(np.mean(grid), abs=1e-3)

    def test_a_miss_earns_no_credit_and_a_problem_nobody_solved_earns_nobody_any(self):
        hit, missed = performance_profile({"hit": [5.0, INF], "missed": [INF, INF]})
        assert hit.score == 0.5
        assert missed.score == 0.0
        assert missed.ratios == (INF, INF)

    def test_the_profile_does_not_depend_on_the_unit_of_cost(self):
        base = performance_profile({"a": [1.0, 5.0], "b": [2.0, 4.0]})
        scaled = performance_profile({"a": [10.0, 0.5], "b": [20.0, 0.4]})
        assert [p.score for p in base] == pytest.approx([p.score for p in scaled])

    def test_wrong_input_is_refused(self):
        with pytest.raises(ValueError, match="not above 1"):
            performance_profile({"a": [1.0]}, r_max=1.0)
        with pytest.raises(ValueError, match="every problem"):
            performance_profile({"a": [1.0], "b": [1.0, 2.0]})

    def test_the_geometric_mean_is_relative_to_the_reference(self):
        relative = relative_cost("b", [50.0, 400.0], [100.0, 200.0])
        assert relative.mean == pytest.approx(1.0)
        assert relative_cost("b", [50.0, 50.0], [100.0, 200.0]).mean == pytest.approx(8**-0.5)
        assert relative_cost("a", [3.0, 7.0], [3.0, 7.0]).mean == pytest.approx(1.0)

    def test_a_miss_makes_the_geometric_mean_infinite_and_is_counted(self):
        relative = relative_cost("b", [50.0, INF], [100.0, 200.0])
        assert relative.mean == INF
        assert relative.mean_reached == pytest.approx(0.5)
        assert (relative.reached, relative.compared) == (1, 2)

    def test_problems_that_the_reference_missed_are_left_out_and_counted(self):
        relative = relative_cost("b", [50.0, 50.0], [100.0, INF])
        assert relative.mean == pytest.approx(0.5)
        assert relative.compared == 1
        assert math.isnan(relative_cost("b", [1.0], [INF]).mean)

    def test_an_invalid_row_earns_no_credit_in_a_profile(self):
        trials = (
            *sweep_of(valley(0.8, 0.4, 0.8), optimizer="a"),
            *sweep_of(valley(0.8, 0.4, 0.1), optimizer="b"),
        )
        results = results_of(trials)
        rows = [tuned_row(results, "p", label) for label in "ab"]
        assert profile_costs(rows, results, "steps") == {"a": [20.0], "b": [INF]}


class TestSensitivity:
    def sensitivity(self, curves):
        results = results_of(sweep_of(curves))
        return learning_rate_sensitivity(results, "p", "a", sweep(results, "p", "a")).value

    def test_it_is_the_mean_loss_over_the_best_rate(self):
        curves = [[[1.0, final]] * 3 for final in (0.7, 0.4, 0.5)]
        assert self.sensitivity(curves) == pytest.approx((0.3 + 0.0 + 0.1) / 3)

    def test_a_diverged_rate_costs_no_more_than_not_training_at_all(self):
        curves = [[[1.0, final]] * 3 for final in (0.4, math.nan, 50.0)]
        assert self.sensitivity(curves) == pytest.approx((0.0 + 0.6 + 0.6) / 3)

    def test_a_flat_valley_has_no_sensitivity(self):
        assert self.sensitivity([[[1.0, 0.4]] * 3] * 5) == pytest.approx(0.0)

    def test_it_is_unknown_where_everything_diverged(self):
        assert math.isnan(self.sensitivity([[[1.0, math.nan]] * 3] * 3))
