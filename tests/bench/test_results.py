"""Results are plain, frozen data that can be asked for the trials of one optimizer."""

import dataclasses

import numpy as np
import pytest

from gradlab.bench.results import UNTUNED, Trial
from tests.bench.synthetic import problem, realistic, results_of, sweep_of, trial


def test_a_trial_that_has_not_started_has_no_curve():
    waiting = Trial("p", "a", 0, 0.1, 0, True, "waiting")
    assert waiting.steps.dtype == np.int64
    assert waiting.values.dtype == np.float64
    assert waiting.values.size == waiting.train_losses.size == 0
    assert not waiting.finished


@pytest.mark.parametrize(
    ("status", "finished"),
    [("complete", True), ("diverged", True), ("running", False), ("waiting", False)],
)
def test_only_a_complete_or_diverged_trial_is_finished(status, finished):
    assert trial([1.0], status=status).finished is finished


def test_results_cannot_be_changed():
    results = results_of([trial([1.0])])
    with pytest.raises(dataclasses.FrozenInstanceError):
        results.name = "other"


def test_select_gives_trials_by_rate_and_seed_whatever_order_they_ran_in():
    trials = sweep_of([[[1.0], [1.0]], [[1.0], [1.0]]])
    results = results_of(trials[::-1])
    chosen = results.select("p", "a", tuned=True)
    assert [(t.rate_index, t.seed) for t in chosen] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert [t.seed for t in results.select("p", "a", rate_index=1)] == [0, 1]
    assert {t.rate_index for t in results.select("p", "a", tuned=False)} == {UNTUNED}
    assert results.select("p", "nothing") == ()


def test_an_unknown_problem_is_named_with_those_that_exist():
    with pytest.raises(KeyError, match=r"no problem 'q'; there are \['p'\]"):
        results_of([], problems=[problem("p")]).problem("q")


def test_the_synthetic_study_has_every_trial_once():
    results = realistic()
    keys = {(t.problem, t.optimizer, t.rate_index, t.seed) for t in results.trials}
    assert len(keys) == len(results.trials) == 3 * 7 * (7 + 1) * 3
