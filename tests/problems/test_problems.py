"""Every training problem: what a study relies on when it runs one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradlab import problems
from gradlab.problems import _char_transformer, _digits, _source_text

SMALL = {
    "char_transformer": {"width": 8, "depth": 1, "context": 8, "batch_size": 2},
    "digits_logistic": {"batch_size": 16},
    "digits_mlp": {"batch_size": 16, "width": 8},
    "modular_addition": {"modulus": 7, "batch_size": 16, "width": 8},
}
GUESSING = {
    "char_transformer": np.log(_source_text.SYMBOLS),
    "digits_logistic": np.log(_digits.CLASSES),
    "digits_mlp": np.log(_digits.CLASSES),
    "modular_addition": 6 / 7,
}


@pytest.fixture(scope="module", params=problems.names())
def probe(request):
    """Each problem with what one compiled program says about it."""
    problem = problems.get(request.param, **SMALL[request.param])

    @jax.jit
    def descend(key):
        params, batch = problem.init(key), problem.sample(key)
        loss, grad = jax.value_and_grad(problem.loss)(params, batch)
        # Short steps: a step along the gradient of one batch must lower the loss of that batch.
        moved = jax.tree.map(lambda p, g: p - 0.01 * g, params, grad)
        return params, batch, loss, problem.loss(moved, batch), problem.evaluate(params)

    return problem, descend, descend(jax.random.PRNGKey(0))


def test_a_small_step_along_the_gradient_lowers_the_loss(probe):
    _, _, (_, _, before, after, _) = probe
    assert after < before


def test_the_metric_at_the_start_is_that_of_guessing(probe):
    problem, _, (*_, metric) = probe
    assert metric == pytest.approx(GUESSING[problem.name], rel=0.35)


def test_equal_keys_give_equal_batches_and_other_keys_others(probe):
    _, descend, (_, batch, *_) = probe
    again, other = descend(jax.random.PRNGKey(0))[1], descend(jax.random.PRNGKey(1))[1]
    assert all(map(np.array_equal, jax.tree.leaves(batch), jax.tree.leaves(again)))
    assert not all(map(np.array_equal, jax.tree.leaves(batch), jax.tree.leaves(other)))


def test_parameters_counts_what_init_makes(probe):
    problem, _, (params, *_) = probe
    assert problem.parameters == sum(leaf.size for leaf in jax.tree.leaves(params))


def test_the_batch_has_the_size_that_the_problem_names(probe):
    problem, _, (_, batch, *_) = probe
    assert {len(leaf) for leaf in jax.tree.leaves(batch)} == {problem.batch_size}


def test_the_problem_names_its_data(probe):
    problem, *_ = probe
    assert problem.sources
    assert all(isinstance(value, str) and value for value in problem.sources.values())


def test_held_out_digits_are_no_training_digits():
    (images, labels), (held_images, held_labels) = _digits.digits()
    assert len(images) + len(held_images) == 1797
    assert len(labels) == len(images)
    assert len(held_labels) == len(held_images)
    training = {image.tobytes() for image in images}
    assert not any(image.tobytes() in training for image in held_images)


def test_the_text_is_python_source_and_its_held_out_part_comes_from_other_modules():
    training, held = _source_text.source_text(20_000)
    assert len(training) == 20_000
    assert len(held) == 2_000
    assert training.count("def ") > 20
    assert not set(_source_text.TRAINING_MODULES) & set(_source_text.HELD_OUT_MODULES)
    assert held[:500] not in training


def test_every_character_has_a_symbol():
    symbols = _source_text.encode("a\n é")
    assert symbols.tolist() == [66, 0, 1, _source_text.SYMBOLS - 1]


def test_the_transformer_does_not_see_the_characters_that_it_predicts():
    model = _char_transformer._model(8, 1, 2)
    params = problems.char_transformer(**SMALL["char_transformer"]).init(jax.random.PRNGKey(0))
    windows = jnp.array([[1, 2, 3, 4, 5, 6, 7, 8], [1, 2, 3, 4, 5, 60, 7, 8]])
    logits = np.asarray(jax.jit(model.apply)({"params": params}, windows))
    # The windows differ at position 5: what is predicted from earlier positions alone is equal.
    assert np.array_equal(logits[0, :5], logits[1, :5])
    assert np.all(np.any(logits[0, 5:] != logits[1, 5:], axis=-1))


def test_an_unknown_problem_names_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'digits_mlp'"):
        problems.get("digit_mlp")


def test_an_unknown_setting_names_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'batch_size'"):
        problems.get("digits_mlp", batchsize=3)


def test_the_heads_must_divide_the_width():
    with pytest.raises(ValueError, match="width=9 is not a multiple of heads=2"):
        problems.char_transformer(width=9)


def test_a_python_without_source_files_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(_source_text.sysconfig, "get_paths", lambda: {"stdlib": str(tmp_path)})
    _source_text.source_text.cache_clear()
    with pytest.raises(FileNotFoundError, match=r"argparse\.py does not exist"):
        _source_text.source_text(100)


def test_positions_cover_the_whole_range_evenly():
    from gradlab.problems._random import positions

    drawn = np.asarray(positions(jax.random.PRNGKey(3), (20_000,), 10))
    assert drawn.min() == 0
    assert drawn.max() == 9
    # 2000 expected in each of ten; five standard deviations are 212.
    assert np.abs(np.bincount(drawn) - 2000).max() < 212


def test_normals_fill_a_tree_with_one_draw():
    from gradlab.problems._random import normals

    shapes = {
        "a": jax.ShapeDtypeStruct((30, 40), jnp.float32),
        "b": jax.ShapeDtypeStruct((7,), jnp.float32),
    }
    drawn = normals(jax.random.PRNGKey(0), shapes)
    assert drawn["a"].shape == (30, 40)
    assert drawn["b"].shape == (7,)
    assert float(jnp.mean(drawn["a"])) == pytest.approx(0.0, abs=0.15)
    assert float(jnp.std(drawn["a"])) == pytest.approx(1.0, abs=0.1)
