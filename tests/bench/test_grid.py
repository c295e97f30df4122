"""The grid follows from the study alone, and a group fits into memory."""

import subprocess
import sys

import jax
import pytest

import gradlab as gl
from gradlab.bench import grid
from gradlab.bench.configure import configured, learning_rates
from gradlab.bench.results import UNTUNED
from gradlab.bench.study import OptimizerSpec, Rates, Schedule
from gradlab.problems import digits_mlp
from tests.bench.studies import problem, small


def test_trials_are_numbered_rate_by_rate_and_seed_by_seed():
    study = small(optimizers=[{"name": "sgd", "learning_rate": 0.3}, {"name": "adamw"}])
    first, second = grid.groups(study)
    numbers = [number for group in (first, second) for number, _, _ in group.trials]
    assert numbers == list(range(12))
    assert [(row.rate_index, seed) for _, row, seed in first.trials] == [
        (0, 0), (0, 1), (1, 0), (1, 1), (UNTUNED, 0), (UNTUNED, 1)
    ]  # fmt: skip
    assert second.optimizer.label == "adamw"


def test_rates_surround_the_centre_a_factor_apart():
    rates = learning_rates(OptimizerSpec(name="sgd", learning_rate=0.1), Rates(count=7))
    assert rates == (0.003162, 0.01, 0.03162, 0.1, 0.3162, 1.0, 3.162)


def test_rates_surround_the_search_space_where_no_centre_is_given():
    low, high, scale = gl.catalog.get("adamw").search_space["learning_rate"]
    assert scale == "log"
    rates = learning_rates(OptimizerSpec(name="adamw"), Rates(count=1))
    assert rates[0] == pytest.approx((low * high) ** 0.5, rel=1e-3)


def test_the_swept_rate_is_the_peak_of_the_schedule_and_the_only_difference():
    spec = OptimizerSpec(name="sgd", learning_rate=1.0)
    schedule = Schedule(kind="warmup_cosine", warmup=0.1)
    one, other = (configured(spec, rate, schedule, 100) for rate in (0.1, 0.2))
    differing = {
        path
        for path, value in gl.hyperparameters(one).items()
        if value != gl.hyperparameters(other)[path]
    }
    assert differing == {"learning_rate.peak_value"}
    rates = [float(one.learning_rate(step)) for step in range(100)]
    assert max(rates) == pytest.approx(0.1)
    assert rates.index(max(rates)) == 10


def test_memory_splits_a_group_by_learning_rate_and_keeps_the_numbers():
    spec = [problem(name="digits_mlp", settings={"width": 512})]
    whole = grid.groups(small(problems=spec))
    split = grid.groups(small(problems=spec, memory_megabytes=20))
    assert len(whole) == 1
    assert len(split) == 3
    assert [trial for group in split for trial in group.trials] == list(whole[0].trials)
    assert len({group.digest for group in split}) == 3


def test_the_bound_of_a_trials_memory_grows_with_batch_width_and_state():
    def bytes_of(opt, **settings):
        return grid.lane_bytes(digits_mlp(**settings), opt)

    sgd = gl.sgd(0.1)
    assert bytes_of(sgd) < bytes_of(sgd, batch_size=128) < bytes_of(sgd, batch_size=256)
    assert bytes_of(sgd) < bytes_of(sgd, width=64)
    params = jax.eval_shape(digits_mlp().init, jax.random.PRNGKey(0))
    moments = 2 * grid.tree_bytes(params)
    assert bytes_of(gl.adamw(0.1)) - bytes_of(sgd) == pytest.approx(2 * moments, rel=0.01)


def test_the_hash_follows_everything_that_changes_results_and_nothing_else():
    base = small()
    same = small(tiny={"rates": {"count": 1}})
    others = [
        small(seeds=[0, 2]),
        small(rates={"count": 3}),
        small(schedule={"kind": "warmup_cosine"}),
        small(problems=[problem(horizon=15)]),
        small(problems=[problem(settings={"batch_size": 16})]),
        small(optimizers=[{"name": "sgd", "learning_rate": 0.3, "fixed": {"momentum": 0.9}}]),
        small(optimizers=[{"name": "sgd", "learning_rate": 0.31}]),
    ]
    digests = [grid.digest_of(grid.resolved(study)) for study in [base, *others]]
    assert len(set(digests)) == len(digests)
    assert grid.digest_of(grid.resolved(same)) == digests[0]


def test_two_processes_agree_on_the_grid():
    code = (
        "from tests.bench.studies import small; from gradlab.bench import grid; "
        "print([g.name for g in grid.groups(small())])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == str([group.name for group in grid.groups(small())])
