"""A study survives kills, is shared by processes, and counts every trial once."""

import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from gradlab.bench import segments
from gradlab.bench.claims import Claims
from gradlab.bench.directory import open_directory
from gradlab.bench.errors import StudyError
from gradlab.bench.grid import groups
from gradlab.bench.runner import run
from gradlab.bench.store import load_results
from gradlab.bench.trials import Trials
from tests.bench.studies import begun, problem, small

HELPER = [sys.executable, "-m", "gradlab.bench.workers"]


def _curves(directory):
    """Everything measured, in a form that is equal only if every bit is."""
    return {
        (t.problem, t.optimizer, t.rate_index, t.seed): (
            t.status,
            t.steps.tobytes(),
            t.values.tobytes(),
            t.train_losses.tobytes(),
        )
        for t in load_results(directory).trials
    }


def _wait_until(condition, process, seconds=90.0):
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, "the process ended before it could be killed"
        assert time.monotonic() < end, "the process did not get so far in time"
        time.sleep(0.001)


@pytest.fixture(scope="module")
def long_study():
    """Two groups of many short segments, so that a kill falls into the middle of one."""
    return small(
        problems=[problem(horizon=120, evaluations=60)],
        optimizers=[{"name": "adamw", "label": "sgd"}, {"name": "lion"}],
        schedule={"kind": "warmup_cosine"},
    )


@pytest.fixture(scope="module")
def uninterrupted(long_study, tmp_path_factory):
    directory = tmp_path_factory.mktemp("uninterrupted")
    run(long_study, directory, probe=False)
    return directory


def test_a_killed_run_goes_on_where_it_stopped_and_ends_with_the_same_bits(
    long_study, uninterrupted, tmp_path
):
    open_directory(tmp_path, long_study)
    first = tmp_path / "groups" / groups(long_study)[0].name
    for finished in (5, 20):
        process = subprocess.Popen([*HELPER, str(tmp_path)])
        _wait_until(lambda n=finished: segments.finished(first) >= n, process)
        process.send_signal(signal.SIGKILL)
        process.wait()
    finished = {g.name: segments.finished(tmp_path / "groups" / g.name) for g in groups(long_study)}
    assert 20 <= finished[first.name] < 60
    before = len(begun(tmp_path)[first.name])
    run(long_study, tmp_path, probe=False)
    later = begun(tmp_path)[first.name][before:]
    assert [segment for segment, _ in later] == list(range(finished[first.name], 60))
    assert _curves(tmp_path) == _curves(uninterrupted)


def test_two_processes_share_a_study_and_run_every_segment_once(
    long_study, uninterrupted, tmp_path
):
    open_directory(tmp_path, long_study)
    processes = [subprocess.Popen([*HELPER, str(tmp_path)]) for _ in range(2)]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    log = begun(tmp_path)
    assert [[segment for segment, _ in lines] for lines in log.values()] == [list(range(60))] * 2
    workers = {process for lines in log.values() for _, process in lines}
    assert workers == {process.pid for process in processes}
    assert _curves(tmp_path) == _curves(uninterrupted)
    assert {trial.status for trial in load_results(tmp_path).trials} == {"complete"}


def test_a_finished_study_runs_nothing_again(long_study, uninterrupted):
    before = begun(uninterrupted)
    stamps = {path: path.stat().st_mtime_ns for path in uninterrupted.rglob("*.parquet")}
    run(long_study, uninterrupted, probe=False)
    assert begun(uninterrupted) == before
    assert {path: path.stat().st_mtime_ns for path in uninterrupted.rglob("*.parquet")} == stamps


def test_a_diverged_trial_is_recorded_and_leaves_its_neighbours_alone(tmp_path):
    optimizer = {"name": "adamw", "label": "sgd", "learning_rate": 0.1}
    # Adam's first step has the size of the rate: 1e38 in each of 64 weights overflows.
    both = small(
        rates={"count": 2, "factor": 1e38}, optimizers=[{**optimizer, "learning_rate": 1e19}]
    )
    run(both, tmp_path / "both", probe=False)
    trials = load_results(tmp_path / "both").trials
    bad = [trial for trial in trials if trial.rate_index == 1]
    good = [trial for trial in trials if trial.rate_index == -1]
    assert [trial.status for trial in bad] == ["diverged"] * 2
    for trial in bad:
        assert trial.diverged_at is not None
        finite = np.isfinite(trial.train_losses)
        assert finite[: trial.diverged_at].all()
        assert not finite[trial.diverged_at]
        assert np.isnan(trial.values[trial.steps >= trial.diverged_at]).all()
    # The same default rate between well-behaved neighbours.
    calm = small(rates={"count": 2}, optimizers=[optimizer])
    run(calm, tmp_path / "calm", probe=False)
    alone = [t for t in load_results(tmp_path / "calm").trials if t.rate_index == -1]
    assert [t.status for t in good] == ["complete"] * 2
    for trial, reference in zip(good, alone, strict=True):
        assert trial.train_losses.tobytes() == reference.train_losses.tobytes()
        assert trial.values.tobytes() == reference.values.tobytes()


def test_a_directory_of_another_study_is_refused(uninterrupted):
    with pytest.raises(StudyError, match="results of different configurations are never mixed"):
        run(small(), uninterrupted)


def test_a_directory_with_something_else_in_it_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(StudyError, match="is not empty and holds no study"):
        run(small(), tmp_path)


def test_a_group_that_another_process_took_over_is_left_to_it(tmp_path, monkeypatch):
    study = small()
    directory = open_directory(tmp_path, study)
    group = groups(study)[0]
    rival = Claims(directory.claims, bound=0.0)
    asked = []

    def holds(claims, unit):
        # Before the second segment a process that thinks this one dead takes the group.
        asked.append(unit)
        return len(asked) < 2 or not rival.acquire(unit)

    monkeypatch.setattr(Claims, "holds", holds)
    run(study, tmp_path, probe=False)
    assert asked == [group.name] * 2
    assert segments.finished(directory.group(group.name)) == 1
    assert group.name not in rival.done()
    assert {trial.status for trial in load_results(tmp_path).trials} == {"running"}


def test_trials_that_were_only_half_enqueued_are_completed(tmp_path):
    plan = groups(small(optimizers=[{"name": "sgd"}, {"name": "adamw"}]))
    trials = Trials(tmp_path / "optuna.sqlite", "small")
    trials.enqueue(plan[:1])
    Trials(tmp_path / "optuna.sqlite", "small").enqueue(plan)
    trials.enqueue(plan)
    found = trials.all()
    assert [trial.number for trial in found] == list(range(12))
    assert [trial.params["learning_rate"] for trial in found] == [
        row.learning_rate for group in plan for _, row, _ in group.trials
    ]
    assert [trial.user_attrs["optimizer"] for trial in found] == ["sgd"] * 6 + ["adamw"] * 6


def test_an_optimizer_that_evaluates_the_gradient_itself_gets_all_that_it_needs(tmp_path):
    optimizers = [
        {"name": "sgd", "learning_rate": 0.3, "fixed": {"momentum": 0.0}},
        {
            "name": "sam",
            "learning_rate": 0.3,
            "fixed": {"inner": {"name": "sgd", "momentum": 0.0}, "rho": 0.5},
        },
    ]
    run(small(optimizers=optimizers, untuned=False), tmp_path, probe=False)
    results = load_results(tmp_path)
    plain, sharp = (results.select("digits_logistic", name) for name in ("sgd", "sam"))
    assert [trial.status for trial in sharp] == ["complete"] * 4
    for one, other in zip(plain, sharp, strict=True):
        # Equal before the first step, and not after: the second gradient is taken elsewhere.
        assert one.train_losses[0] == other.train_losses[0]
        assert one.values[-1] != other.values[-1]
    costs = {cost.optimizer: cost.gradient_evaluations_per_step for cost in results.costs}
    assert costs == {"sgd": 1, "sam": 2}


def test_a_group_split_by_memory_has_the_curves_of_the_whole_one(tmp_path):
    task = [problem(name="digits_mlp", settings={"width": 256})]
    # Small rates: along an unstable path the smallest difference grows.
    sweep = [{"name": "sgd", "learning_rate": 0.01}]
    whole = small(problems=task, optimizers=sweep)
    split = small(problems=task, optimizers=sweep, memory_megabytes=6)
    assert (len(groups(whole)), len(groups(split))) == (1, 3)
    for name, study in (("whole", whole), ("split", split)):
        run(study, tmp_path / name, probe=False)
    pairs = zip(
        load_results(tmp_path / "whole").trials,
        load_results(tmp_path / "split").trials,
        strict=True,
    )
    for one, other in pairs:
        assert (one.rate_index, one.seed) == (other.rate_index, other.seed)
        # Other lanes beside it may change the order of additions, not more.
        assert one.train_losses == pytest.approx(other.train_losses, rel=1e-4)
        assert one.values == pytest.approx(other.values, rel=1e-4)
