"""A row holds the best rate of a sweep, its costs to the target, and why it may be invalid."""

import math

import pytest

from gradlab.bench.rows import best_point, sweep, time_to_target, tuned_row, untuned_row
from tests.bench.synthetic import (
    cost_of,
    flat,
    results_of,
    study,
    sweep_of,
    timings_of,
    trial,
    valley,
)

INF = math.inf


class TestRows:
    def test_the_target_is_met_at_the_first_evaluation_at_or_below_it(self):
        hit = time_to_target(trial([3.0, 2.0, 1.0, 2.0, 0.5], steps=[0, 5, 10, 20, 40]), 1.0)
        assert (hit.step, hit.before) == (10.0, 5.0)

    def test_a_miss_and_a_diverged_run_take_forever(self):
        assert time_to_target(trial([3.0, 2.0]), 1.0).step == INF
        assert time_to_target(trial([3.0, math.nan], status="diverged"), 1.0).step == INF

    def test_the_best_rate_has_the_lowest_mean_over_seeds_not_the_luckiest_seed(self):
        lucky = [[0.1], [0.9], [0.9]]
        steady = [[0.4], [0.4], [0.4]]
        results = results_of(sweep_of([[[0.9]] * 3, lucky, steady, [[0.9]] * 3]))
        row = tuned_row(results, "p", "a")
        assert row.point.rate_index == 2
        assert row.point.final.center == pytest.approx(0.4)

    def test_one_diverged_seed_loses_the_rate_and_is_shown(self):
        nan = math.nan
        results = results_of(
            sweep_of([[[0.9]] * 3, [[0.1], [0.1], [nan]], [[0.5]] * 3, [[0.9]] * 3])
        )
        points = sweep(results, "p", "a")
        assert points[1].final.center == INF
        assert points[1].diverged == 1
        assert points[1].finals == (0.1, 0.1, INF)
        assert tuned_row(results, "p", "a").point.rate_index == 2

    @pytest.mark.parametrize(("values", "edge"), [((0.1, 0.5, 0.9), "low"), ((9, 5, 1), "high")])
    def test_a_best_rate_at_the_edge_of_the_sweep_makes_the_row_invalid(self, values, edge):
        row = tuned_row(results_of(sweep_of(valley(*values))), "p", "a")
        assert row.edge == edge
        assert not row.valid
        assert "of the sweep" in row.invalid

    def test_a_best_rate_inside_the_sweep_is_valid(self):
        row = tuned_row(results_of(sweep_of(valley(0.9, 0.1, 0.9))), "p", "a")
        assert row.edge is None
        assert row.valid
        assert row.point.learning_rate == pytest.approx(0.1)

    def test_a_sweep_that_diverged_everywhere_is_invalid_and_infinite(self):
        row = tuned_row(results_of(sweep_of([[[math.nan]] * 3] * 3)), "p", "a")
        assert row.point.final.center == INF
        assert row.steps == INF
        assert "diverged" in row.invalid

    def test_unfinished_rates_are_no_candidates_and_leave_the_row_invalid(self):
        trials = [*sweep_of(valley(0.9, 0.4, 0.9))]
        trials.append(trial([0.0], rate_index=3, learning_rate=10.0, status="running"))
        row = tuned_row(results_of(trials), "p", "a")
        assert row.point.rate_index == 1
        assert row.invalid == "the sweep is not finished"
        assert best_point(sweep(results_of(trials), "p", "a"))[0].rate_index == 1

    def test_costs_to_target_are_medians_in_steps_gradients_and_seconds(self):
        curves = [[1.0, 0.4, 0.3, 0.3, 0.3], [1.0, 0.9, 0.4, 0.3, 0.3], [1.0, 0.9, 0.9, 0.9, 0.4]]
        worse = [[1.0, 0.9, 0.9, 0.9, 0.9]] * 3
        results = results_of(
            sweep_of([worse, curves, worse]),
            timings=timings_of("p", "a", seconds=0.002),
            costs=(cost_of("p", "a", gradients=2),),
        )
        row = tuned_row(results, "p", "a")
        assert [hit.step for hit in row.hits] == [10, 20, 40]
        assert (row.steps, row.gradient_evaluations) == (20, 40)
        assert row.seconds == pytest.approx(20 * 0.002)
        assert row.reached == 3

    def test_the_median_over_seeds_is_infinite_when_most_seeds_miss(self):
        curves = [[1.0, 0.4], [1.0, 0.9], [1.0, 0.9]]
        row = tuned_row(
            results_of(sweep_of([[[1.0, 2.0]] * 3, curves, [[1.0, 2.0]] * 3])), "p", "a"
        )
        assert row.steps == row.seconds == INF
        assert row.reached == 1

    def test_times_that_were_not_measured_are_unknown_not_zero(self):
        row = tuned_row(study(0.4, 0.4, timings=(), costs=()), "p", "a")
        assert math.isnan(row.seconds)
        assert math.isnan(row.gradient_evaluations)

    def test_the_default_configuration_has_a_row_of_its_own_without_an_edge(self):
        results = results_of(sweep_of(valley(0.9, 0.1, 0.9), default=flat(0.3)))
        row = untuned_row(results, "p", "a")
        assert not row.tuned
        assert row.valid
        assert row.point.final.center == pytest.approx(0.3)
        assert not untuned_row(results, "p", "b").valid
