"""N:M sparse training: the paper's recipes, the patterns in turn, and the end of training."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradlab as gl
from gradlab.linalg import n_of_m
from gradlab.transforms._nm_patterns import geometric, stepwise
from tests import agreement
from tests.paper import progressive_gradient_flow as paper


@pytest.mark.parametrize("straight_through", [True, False])
@pytest.mark.parametrize("decay", ["linear", "exponential"])
def test_paper(decay, straight_through):
    settings = {"n": 1, "m": 4, "rate": 0.05, "pruned_decay": 0.2}
    settings["straight_through"] = straight_through
    agreement.assert_matches_paper(
        gl.progressive_gradient_flow(**settings, recipe=f"mdgf_{decay}"),
        "progressive_gradient_flow",
        shape=(8, 3),
        decay=decay,
        **settings,
    )


@pytest.mark.parametrize("decay", ["linear", "exponential"])
def test_effective_parameters_are_the_papers(decay):
    settings = {"n": 2, "m": 4, "rate": 0.3}
    opt = gl.progressive_gradient_flow(**settings, recipe=f"mdgf_{decay}")
    w = agreement.start((8, 3))
    state = opt.init(jnp.asarray(w))
    for t in range(5):
        found = gl.eval_params(opt, state, jnp.asarray(w, jnp.float32))
        expected = paper.effective(w, t, decay=decay, **settings)
        np.testing.assert_allclose(found, expected, rtol=1e-5)
        _, state = opt.update(jnp.zeros((8, 3)), state, jnp.asarray(w))


def kept(opt, w, steps):
    state, found = opt.init(w), []
    for _ in range(steps):
        found.append(int(jnp.sum(gl.eval_params(opt, state, w) != 0)))
        _, state = opt.update(jnp.zeros_like(w), state, w)
    return found


def test_the_pattern_tightens_in_equal_times():
    assert stepwise("", 1, 16) == [(15, 16), (8, 16), (4, 16), (2, 16), (1, 16)]
    opt = gl.progressive_gradient_flow(1, 8, recipe="sdgf_stepwise", begin=2, end=10)
    w = jnp.asarray(agreement.start((8, 1)))
    assert kept(opt, w, 12) == [8, 8, 7, 7, 4, 4, 2, 2, 1, 1, 1, 1]


def test_groups_shrink_and_the_fraction_stays():
    assert geometric(1, 8) == [(8, 64), (4, 32), (2, 16), (1, 8)]
    opt = gl.progressive_gradient_flow(1, 4, recipe="sdgf_geometric", end=4)
    w = jnp.arange(1.0, 65.0).reshape(64, 1)
    state, first = opt.init(w), []
    for _ in range(5):
        mask = gl.eval_params(opt, state, w)[:, 0] != 0
        first.append(int(jnp.argmax(mask)))
        assert mask.sum() == 16
        _, state = opt.update(jnp.zeros_like(w), state, w)
    assert first == [24, 12, 6, 3, 3]


def test_patterns_lie_along_the_inputs():
    w = jnp.asarray(agreement.start((2, 3, 8, 5)))
    mask = n_of_m(jnp.abs(w), 2, 4)
    np.testing.assert_array_equal(mask.reshape(2, 3, 2, 4, 5).sum(3), 2)
    with pytest.raises(ValueError, match=r"\(6, 2\) has 6 numbers along axis -2.*multiple of 4"):
        n_of_m(jnp.ones((6, 2)), 1, 4)


def test_a_fast_rate_with_a_decay_is_sr_ste():
    g, w = jnp.ones((4, 1)), jnp.array([[3.0], [-2.0], [1.0], [0.5]])
    opt = gl.progressive_gradient_flow(1, 2, rate=1e6, pruned_decay=0.1)
    _, state = opt.update(g, opt.init(w), w)
    np.testing.assert_array_equal(gl.eval_params(opt, state, w)[:, 0], [3.0, 0.0, 1.0, 0.0])
    found, _ = opt.update(g, state, w)
    np.testing.assert_allclose(found[:, 0], [1.0, 0.8, 1.0, 1.05], rtol=1e-6)


def test_the_network_is_dense_before_and_of_the_pattern_in_the_end():
    opt = gl.progressive_gradient_flow(1, 2, rate=0.1, begin=2, end=4)
    assert kept(opt, jnp.asarray(agreement.start((4, 2))), 6) == [8, 8, 8, 8, 4, 4]


def test_training_ends_with_the_pattern_and_a_small_loss():
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(64, 8)), jnp.float32)
    truth = jnp.zeros((8, 1)).at[jnp.array([1, 4])].set(1.0)
    start = jnp.asarray(rng.normal(size=(8, 1)), jnp.float32)
    flow = gl.progressive_gradient_flow(1, 4, rate=0.05, end=150)
    opt = gl.chain(flow, gl.sgd(0.05))

    def step(carry, _):
        params, state = carry
        gradient = jax.grad(lambda p: jnp.mean((x @ (p - truth)) ** 2))
        updates, state = opt.update(gradient(gl.eval_params(opt, state, params)), state, params)
        return (optax.apply_updates(params, updates), state), None

    (params, state), _ = jax.lax.scan(step, (start, opt.init(start)), None, length=300)
    np.testing.assert_allclose(gl.eval_params(opt, state, params), truth, atol=1e-3)


def test_arrays_that_groups_do_not_divide_stay_dense_unless_they_are_asked_for():
    params = {"w": jnp.ones((3, 2)), "b": jnp.ones(4)}
    opt = gl.progressive_gradient_flow(1, 2, rate=1e6)
    _, state = opt.update(params, opt.init(params), params)
    jax.tree.map(np.testing.assert_array_equal, gl.eval_params(opt, state, params), params)
    with pytest.raises(ValueError, match="no multiple of 2"):
        gl.progressive_gradient_flow(1, 2, rate=1.0, mask={"w": True, "b": False}).init(params)
    with pytest.raises(ValueError, match=r"progressive_gradient_flow: .*shape \(4,\), without inp"):
        gl.progressive_gradient_flow(1, 2, rate=1.0, mask={"w": False, "b": True}).init(params)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"n": 4, "m": 4, "rate": 0.1}, "n=4 is not less than m=4"),
        ({"n": 1, "m": 4}, "mdgf_exponential needs a rate"),
        ({"n": 1, "m": 4, "rate": 1, "recipe": "sdgf_stepwise", "end": 9}, "has no rate"),
        ({"n": 1, "m": 4, "recipe": "sdgf_geometric"}, "end=None is not after begin=0"),
        ({"n": 1, "m": 4, "rate": 1, "begin": 5, "end": 5}, "end=5 is not after begin=5"),
        ({"n": 1, "m": 6, "recipe": "sdgf_stepwise", "end": 9}, "times a power of two"),
        ({"n": 0, "m": 4, "rate": 1}, "n=0: expected an integer of at least 1"),
        ({"n": 1, "m": 4, "rate": 1, "recipe": "step"}, "recipe='step': expected one of"),
    ],
)
def test_bad_arguments_are_named(settings, words):
    with pytest.raises(ValueError, match=words):
        gl.progressive_gradient_flow(**settings)
