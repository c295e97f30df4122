"""What a study measured can be read back, finished or not."""

import numpy as np
import pytest

import gradlab as gl
from gradlab.bench.directory import open_directory
from gradlab.bench.errors import StudyError
from gradlab.bench.results import PIECES
from gradlab.bench.runner import run
from gradlab.bench.store import load_results
from gradlab.problems import landscape
from tests.bench.studies import problem, small


@pytest.fixture(scope="module")
def study():
    return small(
        optimizers=[
            {"name": "sgd", "learning_rate": 0.3},
            {"name": "adamw", "label": "twin", "fixed": {"b1": 0.8}},
        ],
        schedule={"kind": "warmup_cosine"},
        trajectories={"landscapes": ["rosenbrock", "himmelblau"], "steps": 20},
    )


@pytest.fixture(scope="module")
def results(study, tmp_path_factory):
    directory = tmp_path_factory.mktemp("store")
    run(study, directory, command="gradlab bench small")
    return load_results(directory)


def test_every_trial_has_its_whole_curves(results):
    assert len(results.trials) == 2 * 3 * 2
    for trial in results.trials:
        assert trial.status == "complete"
        assert trial.steps.tolist() == [0, 4, 8, 12]
        assert trial.train_steps.tolist() == list(range(12))
        assert np.isfinite(trial.values).all()
        assert np.isfinite(trial.train_losses).all()


def test_seeds_see_other_batches_and_optimizers_see_the_same(results):
    losses = {(t.optimizer, t.rate_index, t.seed): t.train_losses for t in results.trials}
    assert losses["sgd", 0, 0][0] == losses["twin", 0, 0][0] == pytest.approx(np.log(10))
    assert not np.array_equal(losses["sgd", 0, 0], losses["sgd", 0, 1])


def test_the_untuned_trials_have_the_catalogues_rate(results):
    for label, name in (("sgd", "sgd"), ("twin", "adamw")):
        rates = {t.learning_rate for t in results.trials if t.optimizer == label and not t.tuned}
        assert rates == {gl.catalog.get(name).example["learning_rate"]}


def test_a_trial_equals_a_loop_that_a_user_would_write(results):
    import jax
    import optax

    from gradlab.problems import digits_logistic

    chosen = next(t for t in results.trials if t.optimizer == "twin" and t.rate_index == 1)
    task = digits_logistic(batch_size=8)
    rate = gl.warmup_cosine_decay_schedule(0.0, chosen.learning_rate, 1, 12, 0.0)
    opt = gl.adamw(rate, b1=0.8)
    key = jax.random.PRNGKey(chosen.seed)
    params = task.init(jax.random.fold_in(key, 0))
    state = opt.init(params)
    losses = []
    for step in range(12):
        batch = task.sample(jax.random.fold_in(jax.random.fold_in(key, 1), step))
        loss, grad = jax.value_and_grad(task.loss)(params, batch)
        updates, state = opt.update(grad, state, params)
        params = optax.apply_updates(params, updates)
        losses.append(float(loss))
    assert chosen.train_losses == pytest.approx(losses, rel=1e-4)
    assert chosen.values[-1] == pytest.approx(float(task.evaluate(params)), rel=1e-4)


def test_all_pieces_are_timed(results):
    found = {(t.optimizer, t.piece): t for t in results.timings}
    assert set(found) == {(o, piece) for o in ("sgd", "twin") for piece in PIECES}
    for (_, piece), timing in found.items():
        assert timing.repetitions == (1 if piece in ("trace", "compile") else 2)
        assert 0 < timing.q25 <= timing.median <= timing.q75


def test_the_cost_of_every_group_is_known(results):
    costs = {cost.optimizer: cost for cost in results.costs}
    assert costs["sgd"].trials == costs["twin"].trials == 6
    assert costs["twin"].state_bytes_per_parameter == pytest.approx(8, rel=0.05)
    for cost in costs.values():
        assert cost.parameters == 650
        assert cost.wall_seconds > 0
        assert cost.compile_seconds > 0
        # Six lanes of parameters alone, in and out.
        assert cost.peak_memory_bytes > 2 * 6 * 650 * 4
        assert cost.gradient_evaluations_per_step == 1


def test_paths_start_at_the_start_and_go_down(results):
    paths = {(path.landscape, path.optimizer): path for path in results.trajectories}
    assert set(paths) == {(n, o) for n in ("rosenbrock", "himmelblau") for o in ("sgd", "twin")}
    for (name, _), path in paths.items():
        place = landscape(name)
        assert path.points.shape == (21, 2)
        assert path.points[0] == pytest.approx(np.float32(place.start))
        assert path.values[-1] < path.values[0]
        heights = [float(place.function(point)) for point in path.points]
        assert path.values == pytest.approx(heights, rel=1e-3, abs=1e-3)


def test_the_study_the_machine_and_the_command_go_with_the_results(results, study):
    assert results.command == "gradlab bench small"
    assert results.baseline == study.baseline
    assert results.optimizers == ("sgd", "twin")
    assert results.config["optimizers"][1]["configuration"].startswith("adamw(")
    assert len(results.config_hash) == 64
    info = results.problem("digits_logistic")
    assert (info.horizon, info.batch_size, info.parameters) == (12, 8, 650)
    assert "warm-up" in info.schedule
    for key in (
        "python",
        "cpu",
        "cores",
        "device",
        "jax",
        "jaxlib",
        "optax",
        "gradlab",
        "precision",
    ):
        assert results.environment[key]
    assert results.environment["started"] <= results.environment["finished"]


def test_a_study_that_has_only_begun_reads_as_waiting(tmp_path):
    study = small(problems=[problem()])
    open_directory(tmp_path, study)
    results = load_results(tmp_path)
    assert {trial.status for trial in results.trials} == {"waiting"}
    assert results.costs == results.timings == results.trajectories == ()


def test_a_directory_without_a_study_is_named(tmp_path):
    with pytest.raises(StudyError, match=r"holds no study: there is no study\.json"):
        load_results(tmp_path)


def test_a_directory_of_another_version_is_refused_with_the_part_that_it_lacks(tmp_path):
    (tmp_path / "study.json").write_text('{"study": {}, "resolved": {}, "hash": ""}')
    with pytest.raises(StudyError, match=r"lacks 'problems'.*another version"):
        load_results(tmp_path)
