"""What is proved of these methods, on problems small enough to compute it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab as gl

LEARNING_RATE, RHO = 0.2, 0.3
CURVATURES = np.array([6.0, 3.5, 1.0, 0.2])


def quadratic(curvatures):
    return jax.grad(lambda x: jnp.sum(jnp.asarray(curvatures) * x**2) / 2)


def iterates(opt, grad_fn, x, steps):
    def step(carry, _):
        x, state = carry
        updates, state = opt.update(grad_fn(x), state, x, grad_fn=grad_fn)
        return (x + updates, state), x + updates

    return jax.jit(lambda x: jax.lax.scan(step, (x, opt.init(x)), None, length=steps)[1])(x)


def test_sam_on_a_quadratic_bounces_across_the_valley_in_the_steepest_direction():
    """Bartlett, Long and Bousquet, arXiv:2210.01513, Theorem 1.

    Along one axis of curvature c the step is x - η c (x + ρ sign x). It changes sign only
    where x (2 - η c) = η ρ c, which is the cycle.
    """
    with jax.enable_x64(True):
        opt = gl.sam(gl.sgd(LEARNING_RATE), RHO)
        x = iterates(opt, quadratic(CURVATURES), jnp.array([0.5, 1.0, -2.0, 1.0]), 2000)
    steepest = CURVATURES[0]
    size = LEARNING_RATE * RHO * steepest / (2 - LEARNING_RATE * steepest)
    last = np.asarray(x[-2:])
    np.testing.assert_allclose(np.abs(last[:, 0]), size, rtol=1e-12)
    assert last[0, 0] == pytest.approx(-last[1, 0], rel=1e-12)
    np.testing.assert_allclose(last[:, 1:], 0, atol=1e-12)


def sam_edge(gradient_norm):
    """Long and Bartlett, arXiv:2309.12488: the curvature at which a step turns x into -x.

    Along one axis the step multiplies x by 1 - η c - η ρ c² / ‖g‖; this is -1 at
    c = ‖g‖ / (2 ρ) (√(1 + 8 ρ / (η ‖g‖)) - 1).
    """
    root = np.sqrt(1 + 8 * RHO / (LEARNING_RATE * gradient_norm))
    return gradient_norm / (2 * RHO) * (root - 1)


@pytest.mark.parametrize("gradient_norm", [0.01, 0.3, 10.0])
def test_the_edge_of_stability_of_sam_depends_on_the_gradient_and_lies_below_that_of_descent(
    gradient_norm,
):
    edge = sam_edge(gradient_norm)
    assert edge < 2 / LEARNING_RATE
    growth = {}
    with jax.enable_x64(True):
        for name, curvature in (("below", 0.99 * edge), ("at", edge), ("above", 1.01 * edge)):
            x = jnp.array([gradient_norm / curvature])
            opt = gl.sam(gl.sgd(LEARNING_RATE), RHO)
            (after,) = iterates(opt, quadratic([curvature]), x, 1)
            growth[name] = float(-after[0] / x[0])
    assert growth["below"] < 1 < growth["above"]
    assert growth["at"] == pytest.approx(1, abs=1e-12)


def test_the_cycle_of_sam_is_at_its_edge_of_stability():
    steepest = CURVATURES[0]
    size = LEARNING_RATE * RHO * steepest / (2 - LEARNING_RATE * steepest)
    assert sam_edge(steepest * size) == pytest.approx(steepest, rel=1e-12)


def test_sam_leaves_a_sharp_valley_for_a_flat_one_where_descent_stays():
    """Along a valley x y = 1 the curvature of (x y - 1)² / 2 is x² + y², least at x = y."""
    with jax.enable_x64(True):
        grad_fn = jax.grad(lambda p: (p[0] * p[1] - 1) ** 2 / 2)
        start = jnp.array([3.0, 1 / 3 + 0.01])
        ends = [
            iterates(opt, grad_fn, start, 20_000)[-1]
            for opt in (gl.sgd(0.02), gl.sam(gl.sgd(0.02), 0.1))
        ]
    curvatures = [float(np.sum(np.asarray(x) ** 2)) for x in ends]
    assert curvatures[0] == pytest.approx(9.1, abs=0.1)
    assert curvatures[1] == pytest.approx(2, abs=0.1)


# Fifteen equations for thirty unknowns, of which three are not zero in the sparsest solution.
DRAW = np.random.default_rng(0)
CENTRED = DRAW.normal(size=(15, 30))
SPARSE = np.zeros(30)
SPARSE[[4, 11, 23]] = 1.0
SCALE = 0.3


def fit(opt, inputs, steps=40_000):
    """What a diagonal linear network w = a² - b² learns from a = b = SCALE.

    Returns the weights, what is left of the loss, and the mean of log(a b).
    """
    inputs, targets = jnp.asarray(inputs), jnp.asarray(inputs @ SPARSE)

    def loss(p):
        return jnp.mean((inputs @ (p["a"] ** 2 - p["b"] ** 2) - targets) ** 2) / 4

    grad_fn = jax.grad(loss)
    start = {"a": jnp.full(30, SCALE), "b": jnp.full(30, SCALE)}

    def step(carry, _):
        params, state = carry
        updates, state = opt.update(grad_fn(params), state, params, grad_fn=grad_fn)
        return (gl.apply_updates(params, updates), state), None

    run = jax.jit(lambda p: jax.lax.scan(step, (p, opt.init(p)), None, length=steps)[0][0])
    p = run(start)
    log_scale = jnp.mean(jnp.log(jnp.abs(p["a"] * p["b"])))
    return np.asarray(p["a"] ** 2 - p["b"] ** 2), float(loss(p)), float(log_scale)


@pytest.mark.parametrize("mean", [0.0, 3.0], ids=["centred inputs", "inputs with a mean"])
def test_a_gradient_penalty_biases_a_diagonal_linear_network_to_the_rich_regime(mean):
    """Karakida et al., arXiv:2210.02720, section 4.

    Gradient flow keeps a b, and its solution is the sparser, the smaller that is. The
    penalty makes it smaller, a difference uphill the more so the wider it is, one downhill
    the less. With inputs that share a mean all coordinates shrink alike, and the solution
    comes closer to the sparsest one in the same order.
    """
    inner = gl.sgd(0.002)
    runs = {
        "descent": inner,
        "backward": gl.gradient_norm_penalty(inner, 0.01, 0.01, difference="backward"),
        "exact": gl.gradient_norm_penalty(inner, 0.01, 1e-5, difference="central"),
        "forward": gl.gradient_norm_penalty(inner, 0.01, 0.01),
        "wide": gl.gradient_norm_penalty(inner, 0.01, 0.02),
    }
    with jax.enable_x64(True):
        found = {name: fit(opt, CENTRED + mean) for name, opt in runs.items()}
    assert max(left for _, left, _ in found.values()) < 1e-9
    scales = [scale for *_, scale in found.values()]
    assert np.log(SCALE**2) > scales[0]
    assert np.all(np.diff(scales) < 0), dict(zip(found, scales, strict=True))
    assert scales[0] - scales[2] > 1e-3
    if mean:
        norms = [np.abs(weights).sum() for weights, *_ in found.values()]
        distances = [np.linalg.norm(weights - SPARSE) for weights, *_ in found.values()]
        for values in (norms, distances):
            assert np.all(np.diff(values) < 0), dict(zip(found, values, strict=True))


def test_the_difference_is_the_gradient_of_the_penalty():
    gamma, curvatures = 0.2, jnp.asarray(CURVATURES)

    def penalised(x):
        gradient = jax.grad(cubic)(x)
        return cubic(x) + gamma / 2 * gradient @ gradient

    def cubic(x):
        return jnp.sum(curvatures * x**2 / 2 + x**3)

    with jax.enable_x64(True):
        x, grad_fn = jnp.array([0.3, -0.2, 0.5, 1.0]), jax.grad(cubic)
        expected = -0.1 * jax.grad(penalised)(x)

        def error(difference, eps):
            opt = gl.gradient_norm_penalty(gl.sgd(0.1), gamma, eps, difference=difference)
            update, _ = opt.update(grad_fn(x), opt.init(x), x, grad_fn=grad_fn)
            return float(jnp.max(jnp.abs(update - expected)))

        # One-sided differences are exact to first order; the central one, on a cubic, at all.
        for difference in ("forward", "backward"):
            ratio = error(difference, 1e-3) / error(difference, 1e-4)
            assert ratio == pytest.approx(10, rel=1e-2)
        assert error("central", 1e-3) < 1e-10
