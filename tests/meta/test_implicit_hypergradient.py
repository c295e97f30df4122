"""Implicit hypergradients: every solver gives the closed form, and says where it does not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab as gl
from gradlab.testing._subject import compiled_once
from tests.meta import ridge
from tests.paper.implicit_hypergradient import implicit_hypergradient as published

METHODS = {
    "cg": {},
    "minres": {},
    "gmres": {},
    "bicgstab": {},
    "normal_cg": {},
    "dense": {},
    "neumann": {"learning_rate": 0.05, "steps": 400},
    "nystrom": {"rank": 4, "damping": 1e-3},
}
KEY = np.array([0, 7], np.uint32)


@pytest.fixture(autouse=True)
def x64():
    with jax.enable_x64(True):
        yield


def point(dtype=jnp.float64):
    params = ridge.tree(jnp.asarray(ridge.optimum(), dtype))
    return {name: jnp.asarray(x, dtype) for name, x in ridge.WEIGHTS.items()}, params


def found_by(method, outer=ridge.outer, inner=ridge.inner, dtype=jnp.float64):
    hyper, params = point(dtype)
    run = compiled_once(lambda m, h, p, key: m(outer, inner, h, p, key=key))
    return run(method, hyper, params, KEY)


def numbers(hypergradient):
    return np.array([float(hypergradient["decay"]), float(hypergradient["shift"])])


@pytest.mark.parametrize("solver", METHODS)
def test_it_is_the_closed_form_in_float64(solver):
    tolerance = None if solver in ("neumann", "nystrom", "dense") else 1e-12
    method = gl.meta.implicit_hypergradient(solver, tolerance=tolerance, **METHODS[solver])
    found = found_by(method)
    exact = ridge.hypergradient(METHODS[solver].get("damping", 0.0))
    np.testing.assert_allclose(numbers(found.hypergradient), exact, rtol=1e-10)
    hyper, params = point()
    assert float(found.value) == pytest.approx(float(ridge.outer(hyper, params)))
    assert bool(found.report.converged)
    assert not bool(found.report.failed)
    assert not bool(found.report.indefinite)
    assert float(found.report.slope) < 1e-12


@pytest.mark.parametrize("solver", [name for name in METHODS if name != "nystrom"])
def test_it_is_the_closed_form_to_float32_in_float32(solver):
    method = gl.meta.implicit_hypergradient(solver, **METHODS[solver])
    found = found_by(method, dtype=jnp.float32)
    assert found.hypergradient["decay"].dtype == jnp.float32
    np.testing.assert_allclose(numbers(found.hypergradient), ridge.hypergradient(), rtol=2e-3)


@pytest.mark.parametrize("steps", [0, 1, 7])
def test_the_neumann_series_is_the_papers(steps):
    method = gl.meta.implicit_hypergradient("neumann", learning_rate=0.02, steps=steps)
    direct, slope, mixed = ridge.parts()
    paper = published(direct, slope, mixed, ridge.hessian(), learning_rate=0.02, steps=steps)
    found = found_by(method)
    np.testing.assert_allclose(numbers(found.hypergradient), paper, rtol=1e-10)
    assert int(found.report.iterations) == steps


def unrolled(steps, rate):
    """The hypergradient through gradient descent that starts at the optimum."""
    hyper, params = point()

    def final(hyper):
        def step(p, _):
            slope = jax.grad(ridge.inner, argnums=1)(hyper, p)
            return jax.tree.map(lambda p, g: p - rate * g, p, slope), None

        return ridge.outer(hyper, jax.lax.scan(step, params, None, length=steps)[0])

    return numbers(compiled_once(jax.grad(final))(hyper))


def test_the_neumann_series_is_what_unrolled_steps_from_the_optimum_give():
    for steps in (0, 4):
        method = gl.meta.implicit_hypergradient("neumann", learning_rate=0.03, steps=steps)
        found = numbers(found_by(method).hypergradient)
        np.testing.assert_allclose(found, unrolled(steps + 1, 0.03), rtol=1e-10)


def test_one_step_is_the_neumann_series_without_steps():
    one = found_by(gl.meta.implicit_hypergradient("one_step", learning_rate=0.03))
    none = found_by(gl.meta.implicit_hypergradient("neumann", learning_rate=0.03, steps=0))
    np.testing.assert_array_equal(numbers(one.hypergradient), numbers(none.hypergradient))
    assert 0 < float(one.report.residual) < 1
    assert not bool(one.report.converged)


@pytest.mark.parametrize("solver", ["cg", "minres", "dense", "neumann"])
def test_damping_adds_to_the_diagonal(solver):
    method = gl.meta.implicit_hypergradient(solver, **METHODS[solver], damping=2.0)
    exact = ridge.hypergradient(damping=2.0)
    np.testing.assert_allclose(numbers(found_by(method).hypergradient), exact, rtol=1e-7)


def test_nystrom_with_all_columns_is_the_damped_closed_form():
    for damping in (0.1, 2.0):
        method = gl.meta.implicit_hypergradient("nystrom", rank=4, damping=damping)
        found = found_by(method)
        np.testing.assert_allclose(
            numbers(found.hypergradient), ridge.hypergradient(damping), rtol=1e-10
        )
        assert float(found.report.curvature) == pytest.approx(
            np.linalg.eigvalsh(ridge.hessian(damping))[0]
        )


def test_nystrom_with_some_columns_is_woodburys_identity():
    rank, damping = 2, 0.5
    drawn = np.asarray(jax.random.choice(KEY, 4, (rank,), replace=False))
    h = ridge.hessian()
    low_rank = h[:, drawn] @ np.linalg.inv(h[np.ix_(drawn, drawn)]) @ h[drawn]
    direct, slope, mixed = ridge.parts()
    expected = direct - mixed @ np.linalg.solve(low_rank + damping * np.eye(4), slope)
    found = found_by(gl.meta.implicit_hypergradient("nystrom", rank=rank, damping=damping))
    np.testing.assert_allclose(numbers(found.hypergradient), expected, rtol=1e-10)


def test_nystrom_sees_small_negative_curvature():
    def inner(hyper, params):  # the damping makes up for it
        w = ridge.vector(params)
        return ridge.inner(hyper, params) - (ridge.hessian()[1, 1] + 0.2) * w[1] ** 2 / 2

    h = ridge.hessian(0.7) - (ridge.hessian()[1, 1] + 0.2) * np.diag([0, 1, 0, 0])
    direct, slope, mixed = ridge.parts()
    found = found_by(gl.meta.implicit_hypergradient("nystrom", rank=4, damping=0.7), inner=inner)
    expected = direct - mixed @ np.linalg.solve(h, slope)
    np.testing.assert_allclose(numbers(found.hypergradient), expected, rtol=1e-9)
    assert float(found.report.curvature) == pytest.approx(np.linalg.eigvalsh(h)[0])


def test_nystrom_takes_a_hessian_of_lower_rank_than_its_own():
    def inner(hyper, params):  # of rank one
        w = ridge.vector(params)
        return (jnp.sum(w) - hyper["shift"]) ** 2 / 2

    found = found_by(gl.meta.implicit_hypergradient("nystrom", rank=3, damping=1.0), inner=inner)
    _, slope, _ = ridge.parts()
    step = np.linalg.solve(np.ones((4, 4)) + np.eye(4), slope)
    expected = ridge.parts()[0] - np.array([[0.0] * 4, [-1.0] * 4]) @ step
    np.testing.assert_allclose(numbers(found.hypergradient), expected, rtol=1e-10)


def test_gauss_newton_is_the_hessian_of_a_linear_model():
    method = gl.meta.implicit_hypergradient("cg", product="gauss_newton", tolerance=1e-12)
    found = found_by(method, inner=(ridge.predict, ridge.loss))
    np.testing.assert_allclose(numbers(found.hypergradient), ridge.hypergradient(), rtol=1e-10)


def bent(hyper, params):
    """A saddle: one direction of negative curvature."""
    w = ridge.vector(params)
    return ridge.inner(hyper, params) - 20 * w[1] ** 2


def test_negative_curvature_is_said_and_raised():
    method = gl.meta.implicit_hypergradient("cg", on_failure="ignore")
    report = found_by(method, inner=bent).report
    assert bool(report.indefinite)
    assert bool(report.failed)
    assert float(report.curvature) < 0
    hyper, params = point()
    with pytest.raises(RuntimeError, match=r"^implicit_hypergradient: .* not positive definite"):
        gl.meta.implicit_hypergradient("cg")(ridge.outer, bent, hyper, params)
    with pytest.raises(RuntimeError, match="not positive definite"):
        found_by(gl.meta.implicit_hypergradient("cg"), inner=bent)


@pytest.mark.parametrize("solver", ["minres", "dense"])
def test_an_indefinite_system_is_solved_and_said_to_be_one(solver):
    found = found_by(gl.meta.implicit_hypergradient(solver, tolerance=1e-10), inner=bent)
    direct, slope, mixed = ridge.parts()
    h = ridge.hessian() - 40 * np.diag([0, 1, 0, 0])
    expected = direct - mixed @ np.linalg.solve(h, slope)
    np.testing.assert_allclose(numbers(found.hypergradient), expected, rtol=1e-8)
    assert bool(found.report.indefinite)
    assert not bool(found.report.failed)
    if solver == "dense":
        assert float(found.report.curvature) == pytest.approx(np.linalg.eigvalsh(h)[0])


@pytest.mark.parametrize("solver", ["cg", "minres", "gmres", "bicgstab", "normal_cg"])
def test_too_few_steps_are_said_and_raised(solver):
    # One cycle of "gmres" would do it all: it counts cycles, and its first is for nothing.
    options = {"max_steps": 1, "tolerance": 1e-10}
    found = found_by(gl.meta.implicit_hypergradient(solver, on_failure="nan", **options))
    assert not bool(found.report.converged)
    assert bool(found.report.failed)
    assert float(found.report.residual) > 1e-3
    assert np.all(np.isnan(numbers(found.hypergradient)))
    if solver == "cg":
        with pytest.raises(RuntimeError, match="did not reach its tolerance"):
            found_by(gl.meta.implicit_hypergradient(solver, **options))


@pytest.mark.parametrize("solver", ["cg", "minres", "gmres", "bicgstab", "normal_cg", "dense"])
def test_an_eigenvector_and_zero_are_solved_for(solver):
    params = ridge.tree(jnp.zeros(4))

    def inner(hyper, params):  # the Hessian is twice the identity
        return jnp.sum((ridge.vector(params) - hyper) ** 2)

    def outer(hyper, params, weight):
        return weight * jnp.sum(ridge.vector(params))

    method = gl.meta.implicit_hypergradient(solver)
    run = compiled_once(
        lambda weight: method(lambda h, p: outer(h, p, weight), inner, jnp.array(0.0), params)
    )
    assert float(run(1.0).hypergradient) == pytest.approx(4.0)
    nothing = run(0.0)
    assert float(nothing.hypergradient) == 0
    assert bool(nothing.report.converged)


def test_a_singular_system_is_said():
    def flat_direction(hyper, params):
        return (ridge.vector(params)[0] - hyper["shift"]) ** 2

    for solver in ("minres", "dense"):
        method = gl.meta.implicit_hypergradient(solver, on_failure="ignore")
        assert bool(found_by(method, inner=flat_direction).report.failed), solver


def test_a_neumann_series_that_diverges_is_said():
    hyper, params = point()
    method = gl.meta.implicit_hypergradient("neumann", learning_rate=1.0, steps=3)
    with pytest.raises(RuntimeError, match="diverges"):
        method(ridge.outer, ridge.inner, hyper, params)


def test_the_slope_says_how_far_from_stationary_the_point_is():
    hyper, params = point()
    moved = {**params, "bias": params["bias"] + 1.0}
    found = gl.meta.implicit_hypergradient("cg")(ridge.outer, ridge.inner, hyper, moved)
    expected = np.linalg.norm(ridge.hessian()[0])
    assert float(found.report.slope) == pytest.approx(expected, rel=1e-9)


def test_a_sweep_is_an_array_axis_and_one_bad_lane_leaves_the_others():
    hyper, params = point()
    method = gl.meta.implicit_hypergradient("cg", on_failure="nan", tolerance=1e-12)

    def one(sign):
        def inner(h, p):
            return sign * ridge.inner(h, p)

        return method(ridge.outer, inner, hyper, params).hypergradient

    found = compiled_once(jax.vmap(one))(jnp.array([1.0, -1.0, 2.0]))
    for lane in (0, 2):
        lane_found = np.array([found["decay"][lane], found["shift"][lane]])
        np.testing.assert_allclose(lane_found, ridge.hypergradient(), rtol=1e-9)
    assert np.isnan(found["decay"][1])


def test_it_has_derivatives_itself():
    _, params = point()

    def slope(method, shift):
        hyper = {"decay": jnp.asarray(0.8), "shift": shift}
        return method(ridge.outer, ridge.inner, hyper, params).hypergradient["decay"]

    def exact(shift):
        h, w = jnp.asarray(ridge.hessian()), jnp.asarray(ridge.optimum())
        errors = jnp.asarray(ridge.X_VAL) @ w + shift - jnp.asarray(ridge.Y_VAL)
        return 0.16 - w @ jnp.linalg.solve(h, jnp.asarray(ridge.X_VAL).T @ errors)

    expected = float(jax.grad(exact)(0.3))
    for solver in ("cg", "neumann"):
        method = gl.meta.implicit_hypergradient(solver, **METHODS[solver])
        found = compiled_once(jax.grad(slope, argnums=1))(method, 0.3)
        assert float(found) == pytest.approx(expected, rel=1e-7)


def test_an_inner_objective_may_have_a_backward_pass_of_its_own():
    @jax.custom_vjp
    def square(x):
        return x**2

    square.defvjp(lambda x: (square(x), x), lambda x, cotangent: (2 * x * cotangent,))

    def inner(decay, w):
        return (square(w - 3.0) + decay * square(w)) / 2

    found = gl.meta.implicit_hypergradient("cg")(lambda decay, w: w, inner, 0.5, jnp.array(2.0))
    assert float(found.hypergradient) == pytest.approx(-2 / 1.5)


def test_an_optimizer_can_be_the_hyperparameters():
    opt = gl.sgd(0.5)

    def inner(opt, w):
        return (w - opt.learning_rate) ** 2 / 2

    found = gl.meta.implicit_hypergradient("cg")(lambda _, w: w**2, inner, opt, jnp.array(0.5))
    assert gl.hyperparameters(found.hypergradient) == {"learning_rate": 1.0}


def test_bfloat16_parameters_are_solved_for_in_float32():
    method = gl.meta.implicit_hypergradient("cg", tolerance=0.05)
    found = found_by(method, dtype=jnp.bfloat16)
    assert found.hypergradient["decay"].dtype == jnp.bfloat16
    assert found.report.residual.dtype == jnp.float32
    np.testing.assert_allclose(numbers(found.hypergradient), ridge.hypergradient(), rtol=0.1)


@pytest.mark.parametrize("solver", ["cg", "neumann", "dense"])
def test_numbers_that_are_arrays_of_another_width_change_no_dtypes(solver):
    """As they are after an outer step, or when they come from a file."""
    options = {"learning_rate": 0.05, "steps": 3} if solver == "neumann" else {}
    method = gl.meta.implicit_hypergradient(solver, damping=0.1, **options)
    wide = jax.tree.map(jnp.float64, method)
    hyper, params = point(jnp.float32)
    found = jax.eval_shape(lambda m: m(ridge.outer, ridge.inner, hyper, params), wide)
    assert found.hypergradient["decay"].dtype == jnp.float32
    assert found.report.residual.dtype == jnp.float32


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"solver": "lu"}, "expected one of 'cg'"),
        ({"solver": "neumann", "steps": 3}, "needs learning_rate="),
        ({"solver": "neumann", "learning_rate": 0.1}, "needs steps="),
        ({"solver": "nystrom", "damping": 1.0}, "needs rank="),
        ({"solver": "nystrom", "rank": 2}, r"damping=0.0 is outside \(0, inf\)"),
        ({"solver": "cg", "learning_rate": 0.1}, "takes no learning_rate="),
        ({"solver": "dense", "max_steps": 3}, "takes no max_steps="),
        ({"damping": -1.0}, r"damping=-1.0 is outside \[0, inf\)"),
        ({"product": "fisher"}, "expected one of 'hessian'"),
        ({"on_failure": "warn"}, "expected one of 'raise'"),
    ],
)
def test_options_that_make_no_sense_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        gl.meta.implicit_hypergradient(**arguments)


def test_arguments_that_cannot_be_differentiated_are_named():
    hyper, params = point()
    method = gl.meta.implicit_hypergradient("cg")
    with pytest.raises(TypeError, match=r"hyper\['decay'\] is of dtype int"):
        method(ridge.outer, ridge.inner, {**hyper, "decay": 1}, params)
    with pytest.raises(TypeError, match="params is of dtype complex"):
        method(ridge.outer, ridge.inner, hyper, jnp.ones(2, complex))
    with pytest.raises(ValueError, match="params has no arrays"):
        method(ridge.outer, ridge.inner, hyper, {})
    with pytest.raises(TypeError, match="is no function"):
        method(ridge.outer, (ridge.predict, ridge.loss), hyper, params)
    with pytest.raises(TypeError, match="predict, loss"):
        gl.meta.implicit_hypergradient(product="gauss_newton")(
            ridge.outer, ridge.inner, hyper, params
        )
    nystrom = gl.meta.implicit_hypergradient("nystrom", rank=5, damping=1.0)
    with pytest.raises(ValueError, match="rank=5 is more than the 4 parameters"):
        nystrom(ridge.outer, ridge.inner, hyper, params, key=KEY)
    with pytest.raises(TypeError, match="needs key="):
        gl.replace(nystrom, rank=2)(ridge.outer, ridge.inner, hyper, params)


def test_what_is_not_installed_is_named(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "lineax", None)
    hyper, params = point()
    with pytest.raises(ModuleNotFoundError, match=r"gradlab\[meta\]"):
        gl.meta.implicit_hypergradient("gmres")(ridge.outer, ridge.inner, hyper, params)
    gl.meta.implicit_hypergradient("cg")(ridge.outer, ridge.inner, hyper, params)
