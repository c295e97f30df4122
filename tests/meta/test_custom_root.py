"""Roots and fixed points: derivatives in both modes, whatever the solver is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab as gl
from gradlab.testing._subject import compiled_once
from tests.meta import ridge

EXACT = ("cg", "minres", "gmres", "bicgstab", "normal_cg", "dense")
INIT = ridge.tree(np.zeros(4))


@pytest.fixture(autouse=True)
def x64():
    with jax.enable_x64(True):
        yield


def objective(params, decay, x, y):
    w = ridge.vector(params)
    return jnp.sum((x @ w - y) ** 2) / 2 + decay * jnp.sum(w**2) / 2


def by_numpy(init, decay, x, y):
    """A solver that JAX cannot trace."""
    del init
    x, y, decay = (np.asarray(a) for a in (x, y, decay))
    w = np.linalg.solve(x.T @ x + decay * np.eye(4), x.T @ y)
    return ridge.tree(jnp.asarray(w))


def by_descent(init, decay, x, y):
    """A loop of unknown length, which has no derivative in reverse mode."""

    def far(carry):
        return jnp.max(jnp.abs(ridge.vector(carry[1]))) > 1e-13

    def step(carry):
        params = jax.tree.map(lambda p, g: p - 0.05 * g, *carry)
        return params, jax.grad(objective)(params, decay, x, y)

    start = jax.tree.map(jnp.asarray, init)
    return jax.lax.while_loop(far, step, (start, jax.grad(objective)(start, decay, x, y)))[0]


def fitted(solver="cg", by=by_descent):
    return gl.meta.custom_root(gl.meta.stationary_point(objective), solver=solver)(by)


def of_decay(fit):
    return lambda decay: ridge.vector(fit(INIT, decay, ridge.X, ridge.Y))


def exact_slope(decay=0.8):
    return np.asarray(jax.jacobian(ridge.solution)(decay))


@pytest.mark.parametrize("solver", EXACT)
def test_forward_and_reverse_mode_are_the_closed_form(solver):
    precise = solver if solver == "dense" else gl.meta.linear_solver(solver, tolerance=1e-12)
    fit = of_decay(fitted(precise))
    both = compiled_once(lambda d: (jax.jacfwd(fit)(d), jax.jacrev(fit)(d)))
    for found in both(0.8):
        np.testing.assert_allclose(found, exact_slope(), rtol=1e-9)


def test_in_float32_they_are_the_closed_form_to_float32():
    x, y = ridge.X.astype(np.float32), ridge.Y.astype(np.float32)
    init = jax.tree.map(lambda a: a.astype(np.float32), INIT)

    def direct(init, decay, x, y):
        return ridge.tree(jnp.linalg.solve(x.T @ x + decay * jnp.eye(4, dtype=x.dtype), x.T @ y))

    fit = fitted("normal_cg", direct)
    found = compiled_once(jax.jacrev(lambda d: ridge.vector(fit(init, d, x, y))))(jnp.float32(0.8))
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, exact_slope(), rtol=2e-3)


def test_any_solver_will_do_outside_of_jit():
    found = jax.jacrev(of_decay(fitted("cg", by_numpy)))(0.8)
    np.testing.assert_allclose(found, exact_slope(), rtol=1e-7)


def test_a_linear_solver_of_ones_own_gets_trees():
    def solve(product, rhs):
        assert set(rhs) == {"bias", "kernel"}
        return jax.scipy.sparse.linalg.cg(product, rhs, tol=1e-12)[0]

    found = compiled_once(jax.jacrev(of_decay(fitted(solve))))(0.8)
    np.testing.assert_allclose(found, exact_slope(), rtol=1e-8)


def test_second_derivatives_are_those_of_the_closed_form():
    fit = of_decay(fitted(gl.meta.linear_solver("cg", tolerance=1e-12)))

    def cubes(solution):
        return lambda decay: jnp.sum(solution(decay) ** 3)

    expected = jax.grad(jax.grad(cubes(ridge.solution)))(0.8)
    for second in (jax.grad(jax.grad(cubes(fit))), jax.jacfwd(jax.grad(cubes(fit)))):
        assert float(compiled_once(second)(0.8)) == pytest.approx(float(expected), rel=1e-8)


def test_vmap_equals_a_loop():
    slope = jax.grad(lambda d: jnp.sum(of_decay(fitted())(d) ** 2))
    decays = jnp.array([0.5, 1.0, 3.0])
    one = compiled_once(slope)
    np.testing.assert_allclose(
        compiled_once(jax.vmap(slope))(decays), [one(d) for d in decays], rtol=1e-8
    )


def test_data_and_keywords_have_derivatives_and_the_start_has_none():
    def solver(init, decay, *, y):
        return by_descent(init, decay, ridge.X, y)

    def conditions(params, decay, *, y):
        return jax.grad(objective)(params, decay, ridge.X, y)

    fit = gl.meta.custom_root(conditions, solver="dense")(solver)
    slope = jax.jacrev(lambda y, init: ridge.vector(fit(init, 0.8, y=y)), argnums=(0, 1))
    by_y, by_init = compiled_once(slope)(ridge.Y, INIT)
    np.testing.assert_allclose(by_y, np.linalg.solve(ridge.hessian(), ridge.X.T), rtol=1e-9)
    assert not np.any(by_init["kernel"])


def test_what_is_closed_over_has_derivatives_too():
    def fit(decay):
        def conditions(params, x, y):
            return jax.grad(objective)(params, decay, x, y)

        def solver(init, x, y):
            return ridge.tree(ridge.solution(decay))

        solve = gl.meta.custom_root(conditions, solver="dense")(solver)
        return ridge.vector(solve(INIT, ridge.X, ridge.Y))

    for mode in (jax.jacfwd, jax.jacrev):
        np.testing.assert_allclose(mode(jax.jit(fit))(0.8), exact_slope(), rtol=1e-9)


def test_what_a_solver_says_beside_the_solution_passes_through():
    def solver(init, decay, x, y):
        return by_descent(init, decay, x, y), {"count": jnp.asarray(3), "decay": decay * 2}

    fit = gl.meta.custom_root(gl.meta.stationary_point(objective), solver="cg", has_aux=True)(
        solver
    )

    def total(decay):
        params, said = fit(INIT, decay, ridge.X, ridge.Y)
        return jnp.sum(ridge.vector(params)) + said["decay"], said["count"]

    slope, count = compiled_once(jax.grad(total, has_aux=True))(0.8)
    assert int(count) == 3
    assert float(slope) == pytest.approx(exact_slope().sum(), rel=1e-7)


def test_arguments_that_are_no_numbers_are_left_alone():
    @gl.meta.custom_root(lambda x, how, a, n, key: x**n - a, solver="dense")
    def root(init, how, a, n, key):
        assert how == "exactly"
        return a ** (1 / n)

    slope = jax.grad(lambda a: root(1.0, "exactly", a, 2, jax.random.key(0)))
    assert float(slope(4.0)) == pytest.approx(0.25)


def test_the_value_is_the_solvers_bit_for_bit():
    value = compiled_once(by_descent)(INIT, 0.8, ridge.X, ridge.Y)
    found = compiled_once(fitted())(INIT, 0.8, ridge.X, ridge.Y)
    np.testing.assert_array_equal(ridge.vector(value), ridge.vector(found))


def saddle(x, a):
    return x**2 * jnp.array([1.0, -1.0]) - a


def test_a_system_that_is_not_solved_is_raised_or_becomes_nan():
    def root(on_failure, solver="cg"):
        linear = gl.meta.linear_solver(solver, on_failure=on_failure)
        solve = gl.meta.custom_root(saddle, solver=linear)(lambda init, a: jnp.sqrt(jnp.abs(a)))
        return compiled_once(jax.grad(lambda a: jnp.sum(solve(None, a))))

    a = jnp.array([1.0, -4.0])
    with pytest.raises(RuntimeError, match="not positive definite"):
        root("raise")(a)
    assert np.all(np.isnan(root("nan")(a)))
    assert np.all(np.isfinite(root("ignore")(a)))
    np.testing.assert_allclose(root("raise", "minres")(a), [0.5, -0.25], rtol=1e-6)
    singular = jnp.array([0.0, -4.0])
    with pytest.raises(RuntimeError, match="custom_root: "):
        root("raise", "dense")(singular)


def halving(x, a):
    return x / 2 + a * jnp.sin(x) / 4 + jnp.array([[1.0, 0.5], [0.0, 1.0]]) @ x / 8 + a


def iterate(init, a):
    return jax.lax.fori_loop(0, 120, lambda _, x: halving(x, a), init)


@pytest.mark.parametrize("solver", ["normal_cg", "gmres", "bicgstab", "dense"])
def test_a_fixed_point_that_is_not_symmetric_has_the_derivative_of_its_iteration(solver):
    precise = solver if solver == "dense" else gl.meta.linear_solver(solver, tolerance=1e-12)
    solve = gl.meta.custom_fixed_point(halving, solver=precise)(iterate)
    a, init = jnp.array([0.3, 0.7]), jnp.zeros(2)
    expected = compiled_once(jax.jacfwd(iterate, argnums=1))(init, a)
    both = compiled_once(
        lambda a: (jax.jacfwd(solve, argnums=1)(init, a), jax.jacrev(solve, argnums=1)(init, a))
    )
    for found in both(a):
        np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-12)


def test_approximations_of_a_fixed_point_are_derivatives_of_its_last_iterations():
    a, init = jnp.array([0.3, 0.7]), jnp.zeros(2)
    fixed = iterate(init, a)

    def last(count):
        return jax.jacfwd(lambda a: jax.lax.fori_loop(0, count, lambda _, x: halving(x, a), fixed))(
            a
        )

    neumann = gl.meta.linear_solver("neumann", learning_rate=1.0, steps=3)
    for solver, count in (("one_step", 1), (neumann, 4)):
        solve = gl.meta.custom_fixed_point(halving, solver=solver)(iterate)
        for mode in (jax.jacfwd, jax.jacrev):
            found = compiled_once(mode(lambda a, solve=solve: solve(init, a)))(a)
            np.testing.assert_allclose(found, last(count), rtol=1e-10)


def test_bad_arguments_are_named():
    with pytest.raises(TypeError, match="optimality_fn=3 is no function"):
        gl.meta.custom_root(3)
    with pytest.raises(TypeError, match="fixed_point_fn=3 is no function"):
        gl.meta.custom_fixed_point(3)
    with pytest.raises(ValueError, match="expected one of 'cg'"):
        gl.meta.custom_root(saddle, solver="lu")
    with pytest.raises(ValueError, match="'nystrom' is for implicit_hypergradient alone"):
        gl.meta.custom_root(
            saddle, solver=gl.meta.implicit_hypergradient("nystrom", rank=1, damping=1.0)
        )
    with pytest.raises(TypeError, match="solver=3 is no name"):
        gl.meta.custom_root(saddle, solver=3)
    with pytest.raises(TypeError, match="decorates a solver"):
        gl.meta.custom_root(saddle)(3)
    wrong = gl.meta.custom_root(lambda x, a: {"w": x["w"][:1]})(lambda init, a: {"w": a})
    with pytest.raises(ValueError, match=r"at \['w'\] they are \(1,\) and \(2,\)"):
        wrong(None, jnp.ones(2))
    wrong = gl.meta.custom_fixed_point(lambda x, a: (x, x))(lambda init, a: a)
    with pytest.raises(ValueError, match="custom_fixed_point: conditions"):
        wrong(None, jnp.ones(2))
    whole = gl.meta.custom_root(lambda x, a: x - a)(lambda init, a: 1)
    with pytest.raises(TypeError, match="the solution is of dtype int"):
        whole(None, 1.0)
