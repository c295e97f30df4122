"""The statistics of a report, each against a case small enough to work out by hand."""

import json
import math

import numpy as np
import pytest

from gradlab.bench.comparisons import compare
from gradlab.bench.intervals import Interval, mean_interval, t_quantile, welch_difference
from gradlab.bench.profiles import (
    learning_rate_sensitivity,
    performance_profile,
    profile_costs,
    relative_cost,
)
from gradlab.bench.rows import best_point, sweep, time_to_target, tuned_row, untuned_row
from gradlab.bench.score import plain, protocol, score, self_check, summary
from gradlab.bench.selfcheck import find_planted, find_twin
from tests.bench.synthetic import (
    cost_of,
    problem,
    realistic,
    results_of,
    sweep_of,
    timings_of,
    trial,
)

INF = math.inf


def flat(value, seeds=3, jitter=0.01):
    """Curves over three evaluations that end at `value`, with a known spread over seeds."""
    return [[1.0, 0.9, value + jitter * (seed - 1)] for seed in range(seeds)]


def valley(*values, seeds=3, jitter=0.01):
    """A sweep with one final value for each rate."""
    return [flat(value, seeds, jitter) for value in values]


def study(a, b, seeds=3, jitter=0.01, **more):
    """Two optimizers with a three-rate sweep each, the best rate in the middle."""
    trials = (
        *sweep_of(valley(0.8, a, 0.8, seeds=seeds, jitter=jitter), optimizer="a"),
        *sweep_of(valley(0.8, b, 0.8, seeds=seeds, jitter=jitter), optimizer="b"),
    )
    return results_of(trials, **more)


def verdict(results, measure="final"):
    rows = [tuned_row(results, "p", label) for label in ("b", "a")]
    return compare(results, rows[0], rows[1], measure)


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


class TestSelfCheck:
    def test_sgd_against_sgd_shows_no_difference_and_a_planted_bad_rate_loses(self):
        checks = self_check(realistic())
        assert len(checks) == 3
        assert all(check.same.verdict == "no difference shown" for check in checks)
        assert all(check.planted.verdict == "worse" for check in checks)
        assert all(check.passed for check in checks)

    def test_a_second_copy_with_its_own_runs_is_compared_in_place_of_the_same_trials(self):
        same, other = self_check(study(0.4, 0.401), "b")[0], self_check(study(0.4, 0.1), "b")[0]
        assert same.same.verdict == "no difference shown"
        assert other.same.verdict == "better"
        assert not other.passed

    def test_copies_of_the_baseline_are_recognised_in_the_config(self):
        sgd = {"name": "sgd", "fixed": {}}
        entries = [
            {**sgd, "label": "a", "learning_rate": 0.3},
            {**sgd, "label": "b", "learning_rate": 1e-7},
            {**sgd, "label": "c", "learning_rate": 0.3},
            {"name": "adam", "label": "d", "fixed": {}, "learning_rate": 0.3},
        ]
        labels = tuple(entry["label"] for entry in entries)
        results = results_of([], optimizers=labels, config={"optimizers": entries})
        assert find_twin(results) == "c"
        assert find_planted(results) == "b"
        assert find_twin(results_of([])) is None
        assert find_planted(results_of([])) is None

    def test_a_planted_copy_loses_although_its_best_rate_is_at_the_edge(self):
        trials = (
            *sweep_of(valley(0.8, 0.4, 0.8), optimizer="a"),
            *sweep_of(valley(0.99, 0.98, 0.97, jitter=0.001), optimizer="b"),
        )
        check = self_check(results_of(trials), planted="b")[0]
        assert check.planted is not None
        assert check.planted.optimizer == "b"
        assert check.passed

    def test_a_planted_rate_that_diverges_on_every_seed_loses(self):
        curves = valley(0.8, 0.4, 0.8)
        curves[2] = [[1.0, math.nan, math.nan]] * 3
        check = self_check(results_of(sweep_of(curves), optimizers=("a",)))[0]
        assert check.planted.verdict == "worse"

    def test_a_sweep_without_a_worse_rate_does_not_pass(self):
        assert not self_check(results_of(sweep_of(valley(0.4)), optimizers=("a",)))[0].passed


class TestProtocol:
    @staticmethod
    def unmet(results):
        return {point.number for point in protocol(results) if not point.met}

    def test_a_complete_study_meets_all_twelve_points(self):
        assert [point.number for point in protocol(realistic())] == list(range(1, 13))
        assert self.unmet(realistic()) == set()

    @pytest.mark.parametrize(
        ("change", "number"),
        [
            ({"timings": ()}, 3),
            ({"costs": ()}, 7),
            ({"environment": {}}, 3),
            ({"incomplete": ("10: the study cannot be resumed",)}, 10),
            ({"incomplete": ("point 12: not run",)}, 12),
        ],
    )
    def test_what_is_missing_is_found_in_the_results(self, change, number):
        assert number not in self.unmet(study(0.4, 0.3))
        assert number in self.unmet(study(0.4, 0.3, **change))

    def test_too_few_problems_and_seeds_are_named(self):
        points = {p.number: p for p in protocol(study(0.4, 0.3, seeds=2))}
        assert points[9].reason == "1 problems, 3 are needed"
        assert "fewer than 3 seeds: a on p, b on p" in points[6].reason

    def test_an_unequal_tuning_budget_is_named(self):
        trials = (
            *sweep_of(valley(0.8, 0.4, 0.8), optimizer="a"),
            *sweep_of(valley(0.9, 0.8, 0.4, 0.8), optimizer="b"),
        )
        points = {p.number: p for p in protocol(results_of(trials))}
        assert "another budget than the baseline: b on p" in points[5].reason
        assert "differ in the number of rates" in points[4].reason

    def test_seeds_that_change_nothing_are_noticed(self):
        assert 6 in self.unmet(study(0.4, 0.3, jitter=0.0))

    def test_a_run_that_ended_before_the_horizon_forbids_a_ranking(self):
        results = study(0.4, 0.3, problems=[problem(horizon=1000)])
        assert 8 in self.unmet(results)


class TestSummary:
    def test_it_is_strict_json_and_a_miss_stays_visible(self):
        data = summary(realistic())
        text = json.dumps(data, allow_nan=False)
        assert json.loads(text) == data
        rows = data["problems"][0]["rows"]
        assert {row["optimizer"] for row in rows} == set(realistic().optimizers)
        assert "inf" in [point["final"]["center"] for row in rows for point in row["sweep"]]

    def test_rows_are_ranked_by_the_mean_value_at_the_end(self):
        for entry in summary(realistic())["problems"]:
            finals = [row["final"]["center"] for row in entry["rows"]]
            assert finals == sorted(finals)

    def test_every_row_but_the_baseline_is_compared_with_it(self):
        for row in summary(realistic())["problems"][1]["rows"]:
            measures = set(row["against_baseline"])
            assert measures == (
                set()
                if row["optimizer"] == "adamw"
                else {"steps", "gradient_evaluations", "seconds", "final"}
            )

    def test_plain_turns_arrays_and_special_numbers_into_json(self):
        value = plain({"x": np.array([1.0, INF, -INF, math.nan]), "n": np.int64(3), "t": True})
        assert value == {"x": [1.0, "inf", "-inf", None], "n": 3, "t": True}

    def test_a_study_that_has_not_started_can_be_scored(self):
        empty = score(results_of([]))
        assert all(not row.valid for row in empty.tuned)
        assert not all(point.met for point in empty.protocol)
        json.dumps(summary(results_of([])), allow_nan=False)
