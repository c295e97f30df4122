"""Fixed points: the plain iteration, and Anderson's, which needs fewer steps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab as gl
from gradlab.testing._subject import compiled_once
from tests.paper import anderson_acceleration as paper
from tests.solvers.iterates import iterates

DRAW = np.random.default_rng(0)
AXES = np.linalg.qr(DRAW.normal(size=(6, 6)))[0]
SLOW = AXES @ np.diag([0.95, 0.9, 0.7, 0.4, -0.3, -0.8]) @ AXES.T
SHIFT, START = DRAW.normal(size=6), np.zeros(6)


@pytest.fixture(autouse=True)
def x64():
    with jax.enable_x64(True):
        yield


def linear(x, shift):
    return SLOW @ x + shift


def curved(x):
    """A contraction that is not linear; of NumPy's arrays and of JAX's."""
    np_ = np if isinstance(x, np.ndarray) else jnp
    return np_.cos(SLOW @ x) * 0.8 + SHIFT


def exact(shift):
    return np.linalg.solve(np.eye(6) - SLOW, shift)


def solved(solver, **given):
    return compiled_once(lambda shift: solver.run(linear, START, shift, **given))(SHIFT)


@pytest.mark.parametrize("beta", [1.0, 0.6])
def test_anderson_is_the_papers(beta):
    solver = gl.solvers.anderson_acceleration(history=3, beta=beta, ridge=0.0)
    found = iterates(solver, curved, START, 12)[0]
    wanted = list(paper.anderson_acceleration(curved, START, history=3, steps=12, beta=beta))
    np.testing.assert_allclose(found, wanted, atol=1e-10)


@pytest.mark.parametrize("every", [1, 3])
def test_anderson_with_a_ridge_and_with_plain_steps_between(every):
    given = {"history": 4, "beta": 0.7, "ridge": 0.05, "mixing_frequency": every}
    found = iterates(gl.solvers.anderson_acceleration(**given), curved, START, 20)[0]
    wanted = list(paper.regularized(curved, START, steps=20, **given))
    np.testing.assert_allclose(found, wanted, atol=1e-10)


def test_anderson_solves_n_linear_equations_in_n_and_one_steps():
    solver = gl.solvers.anderson_acceleration(history=6, ridge=0.0)
    found, _, errors = iterates(solver, lambda x: linear(x, SHIFT), START, 7)
    assert float(errors[-1]) < 1e-11
    assert float(errors[-3]) > 1e-6  # no sooner, of a matrix with as many eigenvalues
    np.testing.assert_allclose(found[-1], exact(SHIFT), rtol=1e-10)


def test_anderson_needs_fewer_steps_than_the_plain_iteration():
    plain = solved(gl.solvers.fixed_point_iteration(tol=1e-8, max_steps=1000))
    quick = solved(gl.solvers.anderson_acceleration(history=3, tol=1e-8, max_steps=1000))
    assert bool(plain.converged)
    assert bool(quick.converged)
    assert int(quick.steps) * 4 < int(plain.steps)
    np.testing.assert_allclose(quick.params, plain.params, atol=1e-6)


def test_a_linear_map_that_does_not_contract_has_a_fixed_point_all_the_same():
    solver = gl.solvers.anderson_acceleration(history=6, tol=1e-8)
    found = compiled_once(lambda: solver.run(lambda x: 3 * (SLOW @ x) + SHIFT, START))()
    assert bool(found.converged)
    np.testing.assert_allclose(found.params, np.linalg.solve(np.eye(6) - 3 * SLOW, SHIFT))


def test_the_plain_iterations_points_are_powers_of_the_map():
    found = iterates(gl.solvers.fixed_point_iteration(), curved, START, 4)[0]
    x = START
    for row in found:
        x = curved(x)
        np.testing.assert_allclose(row, x, atol=1e-14)


def test_the_error_is_that_of_the_parameters_that_are_returned():
    found = solved(gl.solvers.fixed_point_iteration(tol=1e-3, max_steps=1000))
    left = np.linalg.norm(linear(np.asarray(found.params), SHIFT) - np.asarray(found.params))
    assert float(found.error) == pytest.approx(left)
    assert left <= 1e-3


METHODS = {
    "plain": gl.solvers.fixed_point_iteration(tol=1e-9, max_steps=600),
    "anderson": gl.solvers.anderson_acceleration(history=6, tol=1e-9, max_steps=600),
}


@pytest.mark.parametrize("name", METHODS)
def test_the_derivative_is_that_of_the_equations(name):
    solver = METHODS[name].with_values(
        linear_solver=gl.meta.linear_solver("gmres", tolerance=1e-12)
    )

    def solve(shift):
        return solver.run(linear, START, shift).params

    both = compiled_once(lambda s: (jax.jacrev(solve)(s), jax.jacfwd(solve)(s)))
    for found in both(SHIFT):
        np.testing.assert_allclose(found, np.linalg.inv(np.eye(6) - SLOW), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("name", METHODS)
def test_unrolled_and_of_one_step_it_is_what_these_say(name):
    def slope(differentiate, memory="plain"):
        steps = 400 if name == "plain" else 20
        solver = METHODS[name].with_values(
            differentiate=differentiate, memory=memory, max_steps=steps
        )
        return lambda shift: solver.run(linear, START, shift).params

    def run(shift):
        one = jax.jacrev(slope("one_step"))(shift)
        return one, jax.jacrev(slope("unroll"))(shift), jax.jacfwd(slope("unroll"))(shift)

    one, reverse, forward = compiled_once(run)(SHIFT)
    np.testing.assert_allclose(one, np.eye(6), atol=1e-12)
    for found in (reverse, forward):
        np.testing.assert_allclose(found, np.linalg.inv(np.eye(6) - SLOW), rtol=1e-5, atol=1e-5)
    again = compiled_once(jax.jacrev(slope("unroll", "segments")))(SHIFT)
    np.testing.assert_allclose(again, reverse, atol=1e-12)


def test_more_history_than_there_are_unknowns_is_of_no_use_and_does_no_harm():
    given = {"ridge": 0.0, "tol": 1e-12, "max_steps": 10}
    few = solved(gl.solvers.anderson_acceleration(history=6, **given))
    many = solved(gl.solvers.anderson_acceleration(history=50, **given))
    assert bool(jnp.all(jnp.isfinite(many.params)))
    np.testing.assert_array_equal(few.params, many.params)


def test_a_map_to_another_tree_is_refused():
    with pytest.raises(ValueError, match="trees of the same shapes"):
        gl.solvers.fixed_point_iteration().run(lambda x: x[:3], START)


def test_what_is_no_history_is_refused():
    with pytest.raises(ValueError, match=r"anderson_acceleration: history=0: .*at least 1"):
        gl.solvers.anderson_acceleration(history=0)
