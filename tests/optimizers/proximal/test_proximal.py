"""Proximal and projected gradient descent, and mirror descent."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab as gl
from gradlab.testing._subject import compiled_once
from tests import agreement

DRAW = np.random.default_rng(2)
DESIGN = DRAW.normal(size=(12, 6)) * np.array([3.0, 2.0, 1.0, 1.0, 0.5, 0.3])
TARGET = DRAW.normal(size=12)
CURVATURE = np.linalg.eigvalsh(DESIGN.T @ DESIGN)[-1]
STEP = 1 / CURVATURE


@pytest.fixture(autouse=True)
def x64():
    with jax.enable_x64(True):
        yield


def squares(w):
    return jnp.sum((DESIGN @ w - TARGET) ** 2) / 2


def descended(opt, objective, start, steps):
    """Parameters after some steps, and the state."""

    def body(carry, _):
        w, state = carry
        update, state = opt.update(jax.grad(objective)(w), state, w)
        return (w + update, state), None

    return jax.lax.scan(body, (start, opt.init(start)), None, length=steps)[0]


def solved(opt, objective, start, steps=4000):
    w, state = compiled_once(lambda w: descended(opt, objective, w, steps))(start)
    return gl.eval_params(opt, state, w)


@pytest.mark.parametrize(
    "settings", [{}, {"acceleration": True}, {"acceleration": True, "restart": True}], ids=str
)
def test_proximal_gradient_is_the_papers(settings):
    hyper = {"learning_rate": 0.02, "strength": 0.3, **settings}
    opt = gl.proximal_gradient(**hyper)
    agreement.assert_matches_paper(opt, "proximal_gradient", **hyper)


def test_projected_gradient_is_the_papers():
    opt = gl.projected_gradient(0.02, gl.projections.projection_l2_ball, 1.5)
    agreement.assert_matches_paper(opt, "projected_gradient", learning_rate=0.02, radius=1.5)


@pytest.mark.parametrize(
    "settings",
    [{}, {"potential": "p_norm", "p": 3.0}, {"potential": "p_norm", "p": 1.5}],
    ids=str,
)
def test_mirror_descent_is_the_papers(settings):
    opt = gl.mirror_descent(0.01, **settings)
    agreement.assert_matches_paper(opt, "mirror_descent", learning_rate=0.01, **settings)


def test_a_mistake_in_the_momentum_is_seen(monkeypatch):
    original = jnp.sqrt
    monkeypatch.setattr(jnp, "sqrt", lambda x: original(x + 1e-6))
    with pytest.raises(AssertionError):
        test_proximal_gradient_is_the_papers({"acceleration": True})


@pytest.mark.parametrize(
    "opt",
    [
        gl.proximal_gradient(0.01, strength=0.0),
        gl.proximal_gradient(0.01, gl.prox.prox_none),
        gl.projected_gradient(0.01, lambda tree: tree),
        gl.mirror_descent(0.01, "euclidean"),
        gl.mirror_descent(0.01, "p_norm", 2.0),
    ],
    ids=repr,
)
def test_without_a_penalty_a_set_or_a_geometry_it_is_gradient_descent(opt):
    gradients = jnp.asarray(agreement.gradient_sequence())
    params = jnp.asarray(agreement.start())
    ours = agreement.open_loop(opt, gradients, params)[0]
    plain = agreement.open_loop(gl.sgd(0.01), gradients, params)[0]
    np.testing.assert_allclose(ours, plain, rtol=1e-10, atol=1e-14)


def test_the_lasso_is_solved_and_its_zeros_are_zero():
    weight = 1.5
    opt = gl.proximal_gradient(STEP, strength=weight)
    w = np.asarray(solved(opt, squares, jnp.ones(6)))
    slope = DESIGN.T @ (DESIGN @ w - TARGET)
    assert 0 < np.sum(w == 0) < 6
    np.testing.assert_allclose(slope[w != 0], -weight * np.sign(w[w != 0]), atol=1e-9)
    assert np.all(np.abs(slope[w == 0]) <= weight)
    for settings in ({}, {"restart": True}):
        fast = gl.proximal_gradient(STEP, strength=weight, acceleration=True, **settings)
        found = np.asarray(solved(fast, squares, jnp.ones(6)))
        np.testing.assert_allclose(found, w, atol=1e-7)
        assert np.array_equal(found == 0, w == 0)


def test_acceleration_is_faster_on_an_ill_conditioned_problem():
    scales = jnp.geomspace(1e-4, 1.0, 20)

    def objective(w):
        return jnp.sum(scales * (w - 1) ** 2) / 2

    def value(**settings):
        opt = gl.proximal_gradient(1.0, strength=1e-5, **settings)
        w = solved(opt, objective, jnp.zeros(20), steps=150)
        return float(objective(w) + 1e-5 * jnp.sum(jnp.abs(w)))

    best = value(acceleration=True) - value()
    assert best < 0
    assert value(acceleration=True) < 0.3 * value()


@pytest.mark.parametrize(
    "prox", [gl.prox.prox_half, gl.prox.prox_hard, gl.prox.prox_cel0], ids=lambda f: f.__name__
)
def test_thresholds_of_other_penalties_are_drop_ins(prox):
    strength = (0.3, 1.0) if prox is gl.prox.prox_cel0 else 0.3
    opt = gl.proximal_gradient(STEP / 2, prox, strength)
    w = np.asarray(solved(opt, squares, jnp.ones(6), steps=300))
    assert np.all(np.isfinite(w))
    assert len(jax.tree.leaves(opt)) == (3 if isinstance(strength, tuple) else 2)


def test_parameters_never_leave_the_set():
    opt = gl.projected_gradient(0.01, gl.projections.projection_simplex, 1.0)
    w = jnp.full(6, 1 / 6)
    state = opt.init(w)
    for _ in range(20):
        update, state = opt.update(jax.grad(squares)(w), state, w)
        w = w + update
        assert float(jnp.min(w)) >= 0
        np.testing.assert_allclose(jnp.sum(w), 1, atol=1e-5)


def test_on_the_simplex_the_entropy_gives_a_softmax():
    opt = gl.mirror_descent(0.1, projection=gl.projections.kl_projection_simplex)
    w, g = jnp.array([0.2, 0.3, 0.5]), jnp.array([1.0, -2.0, 0.5])
    found = w + opt.update(g, opt.init(w), w)[0]
    np.testing.assert_allclose(found, jax.nn.softmax(jnp.log(w) - 0.1 * g), rtol=1e-6)


def test_exponentiated_weights_keep_their_sign_and_stay_zero():
    opt = gl.mirror_descent(0.5)
    w = jnp.array([1.0, -1.0, 0.0])
    moved, _ = descended(opt, lambda w: jnp.sum((w - jnp.array([-1.0, 1.0, 1.0])) ** 2), w, 50)
    assert float(moved[0]) > 0 > float(moved[1])
    assert float(moved[2]) == 0


def test_a_schedule_sets_the_step_and_the_threshold():
    schedule = gl.linear_schedule(1.0, 0.0, 2)
    opt = gl.proximal_gradient(schedule, strength=1.0)
    w = jnp.array([3.0])
    state, sizes = opt.init(w), []
    for _ in range(3):
        update, state = opt.update(jnp.zeros(1), state, w)
        sizes.append(float(update[0]))
    assert sizes == [-1.0, -0.5, 0.0]
    assert gl.current(opt, state)["learning_rate"] == 0.0


def test_evaluation_takes_the_sparse_point():
    opt = gl.proximal_gradient(STEP, strength=3.0, acceleration=True)
    w, state = descended(opt, squares, jnp.ones(6), 12)
    sparse = gl.eval_params(opt, state, w)
    assert np.sum(np.asarray(sparse) == 0) >= np.sum(np.asarray(w) == 0)
    np.testing.assert_array_equal(sparse, state.x)


@pytest.mark.parametrize(
    ("make", "error", "told"),
    [
        (lambda: gl.proximal_gradient(0.1, restart=True), ValueError, "without acceleration"),
        (lambda: gl.proximal_gradient(0.1, strength=-1.0), ValueError, r"strength=-1.0 is outside"),
        (lambda: gl.proximal_gradient(0.1, "lasso"), TypeError, "prox='lasso'.*function"),
        (lambda: gl.projected_gradient(0.1, None), TypeError, "projection=None.*function"),
        (lambda: gl.mirror_descent(0.1, "entropy"), ValueError, "potential='entropy'"),
        (lambda: gl.mirror_descent(0.1, p=3.0), ValueError, "takes no p"),
        (lambda: gl.mirror_descent(0.1, "p_norm"), ValueError, "needs p"),
        (lambda: gl.mirror_descent(0.1, "p_norm", 1.0), ValueError, r"p=1.0 is outside \(1, inf\)"),
    ],
)
def test_bad_input_is_refused(make, error, told):
    with pytest.raises(error, match=told):
        make()


@pytest.mark.parametrize(
    "opt",
    [
        gl.proximal_gradient(0.1),
        gl.projected_gradient(0.1, gl.projections.projection_simplex),
        gl.mirror_descent(0.1),
    ],
    ids=lambda opt: opt.rule.owner(),
)
def test_they_cannot_step_without_parameters(opt):
    with pytest.raises(ValueError, match="needs the parameters"):
        opt.update(jnp.ones(2), opt.init(jnp.ones(2)))
