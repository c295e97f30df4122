"""Proximal operators: their papers, what they reduce to, derivatives where they are delicate."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab as gl
from tests.paper import thresholds

DRAW = np.random.default_rng(0)
X = DRAW.normal(size=200) * np.geomspace(0.01, 5, 200)
MATRIX = DRAW.normal(size=(4, 3))


@pytest.fixture
def x64():
    with jax.enable_x64(True):
        yield


def same(ours, theirs, **tolerance):
    tolerance = {"rtol": 1e-10, "atol": 1e-12} | tolerance
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **tolerance), ours, theirs)


@pytest.mark.parametrize("s", [0.3, 1.0, 2.0])
@pytest.mark.parametrize("weight", [0.1, 0.8])
def test_thresholds_are_those_of_the_papers(s, weight, x64):
    same(gl.prox.prox_lasso(X, weight, s), thresholds.soft(X, s, weight))
    same(gl.prox.prox_half(X, weight, s), thresholds.half(X, s, weight))
    same(gl.prox.prox_hard(X, weight, s), thresholds.hard(X, s, weight))
    same(gl.prox.prox_cel0(X, (weight, 0.9), s), thresholds.cel0(X, s, weight, 0.9))
    same(gl.prox.prox_scad(X, (weight, 3.7)), thresholds.scad(X, weight, 3.7))
    same(gl.prox.prox_mcp(X, (weight, 2.5)), thresholds.firm(X, weight, 2.5))
    ours = gl.prox.prox_nuclear_norm(MATRIX, weight, s)
    same(ours, thresholds.singular_values(MATRIX, s, weight))
    same(gl.prox.prox_linf(X, weight, s), X - thresholds.l1_ball(X, s * weight))


def jaxopts_lasso(x, l1reg, scaling):
    return np.sign(x) * np.maximum(np.abs(x) - l1reg * scaling, 0)


def test_numbers_are_those_of_jaxopts_formulas(x64):
    s, tree = 0.7, {"a": X[:4], "b": X[4:]}
    norm = np.linalg.norm(X)
    expected = {
        "prox_lasso": lambda x: jaxopts_lasso(x, 0.3, s),
        "prox_non_negative_lasso": lambda x: np.maximum(x - 0.3 * s, 0),
        "prox_ridge": lambda x: x / (1 + s * 0.3),
        "prox_non_negative_ridge": lambda x: np.maximum(x / (1 + s * 0.3), 0),
        "prox_group_lasso": lambda x: x * max(1 - 0.3 * s / norm, 0),
    }
    for name, formula in expected.items():
        same(getattr(gl.prox, name)(tree, 0.3, s), jax.tree.map(formula, tree))
        default = getattr(gl.prox, name)(tree, None)
        same(default, getattr(gl.prox, name)(tree, 1.0, 1.0))
    ours = gl.prox.prox_elastic_net(tree, (0.3, 0.6), s)
    same(ours, jax.tree.map(lambda x: jaxopts_lasso(x, 0.3, s) / (1 + s * 0.3 * 0.6), tree))
    assert gl.prox.prox_none(tree) is tree


def test_one_contains_the_other(x64):
    lasso = gl.prox.prox_lasso(X, 0.4)
    same(gl.prox.prox_elastic_net(X, (0.4, 0.0)), lasso)
    same(gl.prox.prox_mcp(X, (0.4, 1e14)), lasso)
    same(gl.prox.prox_scad(X, (0.4, 1e14)), lasso)
    same(gl.prox.prox_huber(X, (0.4, 1e14)), gl.prox.prox_ridge(X, 0.4))
    same(gl.prox.prox_mcp(X, (0.4, 0.5)), gl.prox.prox_hard(X, 0.4**2 * 0.5 / 2))
    same(gl.prox.prox_cel0(X, (0.4, 2.0)), gl.prox.prox_hard(X, 0.4))
    same(gl.prox.prox_group_lasso(X[:, None], 0.4, axis=1)[:, 0], lasso)
    diagonal = gl.prox.prox_nuclear_norm(jnp.diag(X[-5:]), 0.4)
    same(jnp.diag(diagonal), lasso[-5:])
    same(gl.prox.prox_nuclear_norm(X[:, None], 0.4), gl.prox.prox_group_lasso(X, 0.4)[:, None])
    ball = gl.projections.projection_l1_ball(X, 0.4)
    same(X - ball, gl.prox.prox_linf(X, 0.4))


def test_a_group_of_zeros_has_a_finite_derivative():
    rows = jnp.array([[3.0, 4.0], [0.0, 0.0]])
    for prox in (
        lambda x: gl.prox.prox_group_lasso(x, 1.0, axis=-1),
        lambda x: jax.vmap(gl.prox.prox_group_lasso)(x),
    ):
        same(prox(rows), [[2.4, 3.2], [0.0, 0.0]], rtol=1e-6)
        slope = jax.jacrev(prox)(rows)
        assert np.all(np.isfinite(slope))
        assert not np.any(slope[1])


@pytest.mark.parametrize("shape", [(3, 3), (4, 3), (2, 4)])
@pytest.mark.parametrize("real", [True, False])
def test_singular_values_may_be_equal_or_zero(shape, real, x64):
    equal = np.eye(*shape) * 2.0  # all equal
    low = np.eye(*shape) * np.r_[2.0, 2.0, np.zeros(min(shape) - 2)][: shape[1]].sum() / 4
    low[-1] = 0  # and one that is zero
    for x in (equal, low):
        x = x if real else x + 0j
        d = DRAW.normal(size=shape) + (0 if real else 1j * DRAW.normal(size=shape))
        h = 1e-6

        def prox(x, s):
            return gl.prox.prox_nuclear_norm(x, s)

        for t, dt in ((0.3, 0.5), (0.3, 0.0)):
            wanted = (prox(x + h * d, t + h * dt) - prox(x - h * d, t - h * dt)) / (2 * h)
            found = jax.jvp(prox, (jnp.asarray(x), t), (jnp.asarray(d), dt))[1]
            np.testing.assert_allclose(found, wanted, atol=1e-8)


def test_a_strength_of_zero_has_the_derivative_of_the_identity(x64):
    x = jnp.array([0.0, 1.0, -2.0])
    for name in ("lasso", "group_lasso", "ridge", "half", "hard", "linf"):
        prox = getattr(gl.prox, f"prox_{name}")
        same(jax.jacrev(lambda x, f=prox: f(x, 0.0))(x), np.eye(3))
    for name in ("elastic_net", "mcp", "cel0", "scad", "huber"):
        prox = getattr(gl.prox, f"prox_{name}")
        same(jax.jacfwd(lambda x, f=prox: f(x, None, 0.0))(x), np.eye(3))
    square = jnp.zeros((3, 3)).at[0, 0].set(1.0)
    slope = jax.jacrev(lambda x: gl.prox.prox_nuclear_norm(x, 0.0))(square)
    same(slope.reshape(9, 9), np.eye(9))


def test_the_derivative_by_a_strength_trains_it(x64):
    def remaining(l1reg):
        return jnp.sum(gl.prox.prox_lasso(X, l1reg) ** 2)

    h = 1e-6
    wanted = (remaining(0.3 + h) - remaining(0.3 - h)) / (2 * h)
    np.testing.assert_allclose(jax.grad(remaining)(0.3), wanted, rtol=1e-6)


def test_infinite_and_undefined_numbers_are_not_hidden():
    x = jnp.array([jnp.inf, -jnp.inf, jnp.nan])
    found = np.asarray(gl.prox.prox_lasso(x, 1.0))
    assert found[0] == np.inf
    assert found[1] == -np.inf
    assert np.isnan(found[2])


@pytest.mark.parametrize(
    ("call", "error", "told"),
    [
        (
            lambda x: gl.prox.prox_lasso({"w": x}, {"b": 1.0}),
            ValueError,
            "l1reg is a tree of other",
        ),
        (lambda x: gl.prox.prox_lasso({"w": x}, np.ones(2)), ValueError, r"l1reg.*\['w'\]"),
        (lambda x: gl.prox.prox_lasso(x, -0.5), ValueError, r"l1reg=-0.5 is outside \[0, inf\)"),
        (lambda x: gl.prox.prox_lasso(x, True), TypeError, "l1reg=True is a bool"),
        (lambda x: gl.prox.prox_lasso(x, 1.0, -1.0), ValueError, r"scaling=-1.0 is outside"),
        (lambda x: gl.prox.prox_elastic_net(x, 1.0), TypeError, "hyperparams=1.0 is no pair"),
        (lambda x: gl.prox.prox_scad(x, (1.0, 2.0)), ValueError, r"hyperparams\[1\]=2.0.*\(2, inf"),
        (lambda x: gl.prox.prox_mcp(x, (1.0, 0.0)), ValueError, r"hyperparams\[1\]=0.0.*\(0, inf"),
        (lambda x: gl.prox.prox_group_lasso(x, np.ones(3)), ValueError, "one number for the whole"),
        (
            lambda x: gl.prox.prox_group_lasso(x, np.ones(3), axis=0),
            ValueError,
            "not one number for each group",
        ),
        (lambda x: gl.prox.prox_nuclear_norm({"b": x}), ValueError, r"\['b'\].*fewer than 2 axes"),
        (lambda x: gl.prox.prox_log_barrier(x + 0j), TypeError, "complex"),
        (lambda x: gl.prox.make_prox_from_projection("box"), TypeError, "projection='box'"),
    ],
)
def test_bad_input_is_refused(call, error, told):
    with pytest.raises(error, match=told):
        call(jnp.ones(3))


def test_a_matrix_of_a_stack_may_have_a_strength_of_its_own(x64):
    stack = jnp.asarray(DRAW.normal(size=(2, 4, 3)))
    found = gl.prox.prox_nuclear_norm(stack, np.array([0.1, 0.9]))
    for x, y, s in zip(stack, found, (0.1, 0.9), strict=True):
        same(y, gl.prox.prox_nuclear_norm(x, s))


@pytest.mark.parametrize("kind", ["noise", "walk"])
def test_total_variation_has_the_dual_certificate_of_an_optimum(kind, x64):
    draw = np.random.default_rng(3)
    prox = jax.jit(gl.prox.prox_total_variation)
    for strength in (0.0, 0.1, 1.0, 1e3):
        x = draw.normal(size=60)
        x = np.cumsum(x) if kind == "walk" else x
        y = np.asarray(prox(x, strength))
        dual = np.cumsum(x - y)
        assert np.max(np.abs(dual)) <= strength + 1e-12
        np.testing.assert_allclose(dual[-1], 0, atol=1e-12)
        rise = np.diff(y)
        jumps = np.abs(rise) > 1e-9
        np.testing.assert_allclose(dual[:-1][jumps], -strength * np.sign(rise[jumps]), atol=1e-12)
        assert len(np.unique(np.round(y, 9))) == 1 + np.sum(jumps)
    np.testing.assert_allclose(y, np.mean(x), atol=1e-12)


def test_each_signal_may_have_a_strength_of_its_own(x64):
    signals = jnp.asarray(DRAW.normal(size=(2, 7)))
    found = gl.prox.prox_total_variation(signals, np.array([0.1, 0.9]))
    for x, y, s in zip(signals, found, (0.1, 0.9), strict=True):
        same(y, gl.prox.prox_total_variation(x, s))
    undefined = signals.at[0, 3].set(jnp.nan)  # and the search ends all the same
    same(gl.prox.prox_total_variation(undefined, np.array([0.1, 0.9]))[1], found[1])
    one = signals[:, :1]
    same(gl.prox.prox_total_variation(one, 0.5), one)


def test_a_projection_is_a_prox_that_compares_by_its_projection():
    one = gl.prox.make_prox_from_projection(gl.projections.projection_l2_ball)
    two = gl.prox.make_prox_from_projection(gl.projections.projection_l2_ball)
    assert one == two
    assert hash(one) == hash(pickle.loads(pickle.dumps(two)))
    x = jnp.array([3.0, 4.0])
    same(one(x, 1.0, 7.0), [0.6, 0.8], rtol=1e-6)
    same(one(x), one(x, 1.0))


def test_the_thresholds_of_weights_are_the_same_function():
    from gradlab.transforms import _soft_threshold

    x, s = jnp.asarray(X, jnp.float32), jnp.float32(-1.0)
    found = _soft_threshold.soft_threshold(x, s, True)
    np.testing.assert_array_equal(found, gl.prox.prox_lasso(x, jax.nn.sigmoid(s)))
