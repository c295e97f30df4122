"""Bisection: roots one by one, of functions that rise or fall."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab as gl
from gradlab.testing._subject import compiled_once
from tests.paper import bisection as paper
from tests.solvers.iterates import iterates


@pytest.fixture(autouse=True)
def x64():
    with jax.enable_x64(True):
        yield


def cubic(x, a):
    return x**3 - a


@pytest.mark.parametrize("sign", [1, -1])
def test_it_is_the_books(sign):
    def f(x):
        return sign * (x**3 + 4 * x**2 - 10)  # example 1 of the section

    wanted = list(paper.bisection(f, 1.0, 2.0, steps=30))
    assert wanted[12][0] == 1.365112304687500  # its table's last row
    solver = gl.solvers.bisection(1.0, 2.0, tol=0.0)
    ends = {"lower": jnp.asarray(1.0), "upper": jnp.asarray(2.0)}
    found, state, _ = iterates(solver.with_values(**ends), f, jnp.asarray(1.5), 29)
    np.testing.assert_allclose(found, [p for p, _, _ in wanted[1:]], atol=1e-15)
    np.testing.assert_allclose(state.bracket.lower[:-1], [a for _, a, _ in wanted[2:]], atol=1e-15)
    np.testing.assert_allclose(state.bracket.upper[:-1], [b for _, _, b in wanted[2:]], atol=1e-15)


def test_each_number_of_a_tree_has_a_bracket_of_its_own():
    a = {"one": jnp.array([8.0, -27.0]), "two": jnp.asarray(0.001)}
    bracket = gl.solvers.Bracket(
        {"one": jnp.array([0.0, -5.0]), "two": jnp.asarray(1.0)},
        {"one": jnp.array([9.0, 1.0]), "two": jnp.asarray(-1.0)},  # either way round
    )
    solver = gl.solvers.bisection(tol=1e-10)
    found = compiled_once(lambda: solver.run(lambda x: jax.tree.map(cubic, x, a), bracket))()
    assert bool(found.converged)
    np.testing.assert_allclose(found.params["one"], [2.0, -3.0], atol=1e-10)
    np.testing.assert_allclose(found.params["two"], 0.1, atol=1e-7)


def test_together_they_are_what_each_is_alone():
    solver = gl.solvers.bisection(-10.0, 10.0, tol=1e-3)
    a = jnp.array([8.0, 1.0, -3.0])
    together = compiled_once(lambda: solver.run(cubic, jnp.zeros(3), a))()
    alone = compiled_once(jax.vmap(lambda a: solver.run(cubic, jnp.asarray(0.0), a)))(a)
    np.testing.assert_array_equal(together.params, alone.params)
    assert int(together.steps) == int(jnp.max(alone.steps))
    assert len(set(alone.steps.tolist())) > 1


def test_a_root_has_the_derivative_of_the_implicit_function():
    solver = gl.solvers.bisection(0.0, 10.0, tol=1e-12)

    def root(a):
        return solver.run(cubic, jnp.ones(2), a).params

    a = jnp.array([8.0, 27.0])
    run = compiled_once(lambda a: (jax.jacrev(root)(a), jax.jacfwd(root)(a)))
    for found in run(a):
        np.testing.assert_allclose(found, np.diag([1 / 12, 1 / 27]), rtol=1e-9)
    second = compiled_once(jax.hessian(lambda a: root(a)[0]))(a)
    np.testing.assert_allclose(second[0, 0], -2 / 9 * 8.0 ** (-5 / 3), rtol=1e-9)


def test_a_guess_that_is_the_root_takes_no_step():
    solver = gl.solvers.bisection(0.0, 10.0)
    found = solver.run(cubic, 2.0, 8.0)
    assert int(found.steps) == 0
    assert float(jax.grad(lambda a: solver.run(cubic, 2.0, a).params)(8.0)) == pytest.approx(1 / 12)


def test_a_root_at_an_end_is_found():
    for lower, upper in ((2.0, 5.0), (-5.0, 2.0)):
        found = compiled_once(lambda s: s.run(cubic, None, 8.0))(
            gl.solvers.bisection(lower, upper, tol=1e-9)
        )
        assert bool(found.converged)
        assert float(found.params) == pytest.approx(2.0)


def test_one_sign_at_both_ends_raises_or_is_reported():
    solver = gl.solvers.bisection(3.0, 10.0)
    with pytest.raises(ValueError, match=r"bisection: fn\(x\)\['a'\] has one sign at both ends"):
        solver.run(lambda x: {"a": x["a"] ** 3 - 8}, {"a": jnp.zeros(2)})
    run = jax.jit(lambda solver: solver.run(cubic, None, 8.0))
    assert not bool(run(solver).converged)
    with pytest.raises(Exception, match="one sign at both ends"):
        jax.block_until_ready(run(solver.with_values(on_failure="raise")))
    unchecked = solver.with_values(check_bracket=False).run(cubic, None, 8.0)
    assert not bool(unchecked.converged)


def test_without_a_bracket_it_says_what_is_missing():
    with pytest.raises(ValueError, match="lower=… and upper=… are missing, or a Bracket"):
        gl.solvers.bisection().run(cubic, None, 8.0)
