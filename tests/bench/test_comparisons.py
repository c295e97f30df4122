"""A difference is claimed only where intervals are apart and three seeds ran."""

import math

import numpy as np
import pytest

from gradlab.bench.comparisons import compare
from gradlab.bench.intervals import t_quantile
from gradlab.bench.rows import tuned_row
from tests.bench.synthetic import (
    cost_of,
    problem,
    results_of,
    study,
    sweep_of,
    trial,
    valley,
)

INF = math.inf


def verdict(results, measure="final"):
    rows = [tuned_row(results, "p", label) for label in ("b", "a")]
    return compare(results, rows[0], rows[1], measure)


class TestComparisons:
    def test_a_clear_difference_is_claimed_in_the_right_direction(self):
        assert verdict(study(0.4, 0.2)).verdict == "better"
        assert verdict(study(0.2, 0.4)).verdict == "worse"

    def test_the_difference_of_final_values_comes_with_its_interval(self):
        effect = verdict(study(0.4, 0.2)).effect
        half = t_quantile(4) * math.sqrt(2 * 0.01**2 / 3)
        assert effect.center == pytest.approx(-0.2)
        assert effect.high == pytest.approx(-0.2 + half)

    def test_nothing_is_claimed_where_intervals_overlap(self):
        comparison = verdict(study(0.400, 0.395))
        assert comparison.verdict == "no difference shown"
        assert comparison.reason == "the intervals overlap"
        assert comparison.cause == "overlap"

    def test_nothing_is_claimed_from_two_seeds_however_large_the_difference(self):
        comparison = verdict(study(0.4, 0.0001, seeds=2, jitter=1e-9))
        assert comparison.verdict == "no difference shown"
        assert comparison.reason == "2 seeds ran, 3 are needed"
        assert comparison.words == "no claim: too few seeds"

    def test_nothing_is_claimed_from_a_row_at_the_edge_of_its_sweep(self):
        trials = (
            *sweep_of(valley(0.8, 0.4, 0.8), optimizer="a"),
            *sweep_of(valley(0.8, 0.4, 0.1), optimizer="b"),
        )
        comparison = verdict(results_of(trials))
        assert comparison.verdict == "no difference shown"
        assert "b: the best learning rate is the highest of the sweep" in comparison.reason
        assert comparison.words == "no claim: invalid row"

    def test_equal_runs_show_no_difference_by_any_measure(self):
        for measure in ("steps", "gradient_evaluations", "seconds", "final"):
            assert verdict(study(0.4, 0.4), measure).verdict == "no difference shown"

    def test_equal_optimizers_are_called_different_in_few_of_many_studies(self):
        random = np.random.default_rng(2)
        claims = 0
        for _ in range(300):
            curves = {
                label: [[[1.0, 2.0]] * 3, [[1.0, x] for x in random.normal(0.3, 0.02, 3)]]
                for label in "ab"
            }
            trials = [
                t for label, c in curves.items() for t in sweep_of([*c, c[0]], optimizer=label)
            ]
            claims += verdict(results_of(trials)).verdict != "no difference shown"
        assert claims <= 300 * 0.05

    @staticmethod
    def racing(slow, fast, target=0.5, horizon=400):
        """Optimizer a reaches the target at the steps `slow`, b at the steps `fast`."""
        steps = np.arange(0, horizon + 1, 2)
        trials = []
        for label, hits in (("a", slow), ("b", fast)):
            lost = [np.where(steps < horizon, 1.0, 1.2)] * len(hits)
            curves = [np.where(steps >= hit, target - 0.1, 1.0) for hit in hits]
            trials += sweep_of([lost, curves, lost], optimizer=label)
        trials = [
            trial(t.values, optimizer=t.optimizer, rate_index=t.rate_index, steps=steps,
                  learning_rate=t.learning_rate, seed=t.seed, tuned=t.tuned)
            for t in trials
        ]  # fmt: skip
        return results_of(trials, problems=[problem(target=target, horizon=horizon)])

    def test_a_speed_up_is_the_ratio_of_geometric_means_with_its_interval(self):
        comparison = verdict(self.racing((196, 200, 204), (98, 100, 102)), "steps")
        expected = (196 * 200 * 204 / (98 * 100 * 102)) ** (1 / 3)
        assert comparison.effect.center == pytest.approx(expected)
        assert 1.5 < comparison.effect.low < expected < comparison.effect.high < 2.5
        assert comparison.verdict == "better"

    def test_an_advantage_within_one_evaluation_is_not_resolved(self):
        comparison = verdict(self.racing((102, 102, 102), (100, 100, 100)), "steps")
        assert comparison.verdict == "no difference shown"
        assert comparison.effect.low <= 1.0

    def test_twice_the_gradients_eat_a_twofold_advantage_in_steps(self):
        results = self.racing((196, 200, 204), (98, 100, 102))
        doubled = results_of(
            results.trials,
            problems=results.problems,
            costs=(cost_of("p", "a"), cost_of("p", "b", gradients=2)),
        )
        assert verdict(doubled, "steps").verdict == "better"
        assert verdict(doubled, "gradient_evaluations").verdict == "no difference shown"

    def test_seconds_need_a_measured_step_and_carry_its_quartiles(self):
        results = self.racing((196, 200, 204), (98, 100, 102))
        steps, seconds = (verdict(results, m).effect for m in ("steps", "seconds"))
        assert seconds.low == pytest.approx(steps.low * 0.9 / 1.1)
        assert seconds.high == pytest.approx(steps.high * 1.1 / 0.9)
        untimed = results_of(results.trials, problems=results.problems, timings=())
        assert verdict(untimed, "seconds").reason == "the time of a step was not measured"

    def test_reaching_a_target_that_the_baseline_never_reached_is_better_by_a_bound(self):
        comparison = verdict(self.racing((INF, INF, INF), (98, 100, 102)), "steps")
        assert comparison.verdict == "better"
        assert comparison.effect.center == INF
        assert comparison.effect.low == pytest.approx(400 / comparison.candidate.high)
        assert verdict(self.racing((98, 100, 102), (INF,) * 3), "steps").verdict == "worse"

    def test_a_target_that_only_some_seeds_reached_supports_no_claim(self):
        comparison = verdict(self.racing((196, 200, 204), (98, 100, INF)), "steps")
        assert comparison.verdict == "no difference shown"
        assert comparison.reason == "b reached the target on 2 of 3 seeds only"

    def test_a_target_that_nobody_reached_supports_no_claim(self):
        comparison = verdict(self.racing((INF,) * 3, (INF,) * 3), "steps")
        assert comparison.reason == "neither reached the target"
