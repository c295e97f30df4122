"""The twelve points and the self-check find in the results what is missing or wrong."""

import math

import pytest

from gradlab.bench.score import protocol, self_check
from gradlab.bench.selfcheck import find_planted, find_twin
from tests.bench.synthetic import (
    problem,
    realistic,
    results_of,
    study,
    sweep_of,
    valley,
)


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
