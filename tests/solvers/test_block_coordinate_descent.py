"""Block coordinate descent: lassos and blocks of every shape."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab as gl
from gradlab.testing._subject import compiled_once
from tests.paper import block_coordinate_descent as paper
from tests.solvers.iterates import iterates

DRAW = np.random.default_rng(3)
A, B = DRAW.normal(size=(12, 5)), DRAW.normal(size=12)
WEIGHT = 1.5


@pytest.fixture(autouse=True)
def x64():
    with jax.enable_x64(True):
        yield


def soft(x, strength, scaling):
    np_ = np if isinstance(x, np.ndarray | np.floating) else jnp
    return np_.sign(x) * np_.maximum(np_.abs(x) - strength * scaling, 0)


def smooth(x, b=B):
    return jnp.sum((A @ x - b) ** 2) / 2


def slope(x):
    return A.T @ (A @ x - B)


def value(x):
    return np.sum((A @ x - B) ** 2) / 2


def prox(x, scaling):
    return soft(x, WEIGHT, scaling)


def lasso(**given):
    settings = {"strength": WEIGHT, "lipschitz": 0.5, "tol": 1e-10, "max_steps": 400}
    return gl.solvers.block_coordinate_descent(soft, **{**settings, **given})


def solved(solver, start=np.zeros(5)):  # noqa: B008
    return compiled_once(lambda solver: solver.run(smooth, start))(solver)


def solution(weight=WEIGHT, b=B):
    """By the optimality conditions on the numbers that are not zero."""
    x = np.zeros(5)
    for _ in range(3000):
        x = soft(x - (A.T @ (A @ x - b)) / 60, weight, 1 / 60)
    active = np.flatnonzero(x)
    inner = A[:, active].T @ A[:, active]
    x[active] = np.linalg.solve(inner, A[:, active].T @ b - weight * np.sign(x[active]))
    return x, active, inner


def test_it_is_the_papers_with_rows_as_blocks():
    start = DRAW.normal(size=5)
    blocks = [[i] for i in range(5)]
    wanted = list(
        paper.block_coordinate_descent(
            value, slope, prox, start, blocks, lipschitz=0.5, increase=1.7, steps=12
        )
    )
    found, state, _ = iterates(lasso(increase=1.7), smooth, start, 12)
    np.testing.assert_allclose(found, [x for x, _ in wanted], atol=1e-10)
    np.testing.assert_allclose(state.lipschitz, [e for _, e in wanted], rtol=1e-12)
    assert len(set(wanted[-1][1])) > 1


def test_it_is_the_papers_with_children_as_blocks():
    start = DRAW.normal(size=5)
    wanted = list(
        paper.block_coordinate_descent(
            value, slope, prox, start, [[0, 1, 2], [3, 4]], lipschitz=40.0, increase=2.0, steps=8
        )
    )

    def of_tree(x):
        return smooth(jnp.concatenate([x["a"], x["b"]["c"]]))

    def tree_prox(block, strength, scaling):
        return jax.tree.map(lambda x: soft(x, strength, scaling), block)

    solver = lasso(lipschitz=40.0).with_values(prox=tree_prox)
    found = iterates(solver, of_tree, {"a": start[:3], "b": {"c": start[3:]}}, 8)[0]
    both = np.concatenate([found["a"], found["b"]["c"]], axis=1)
    np.testing.assert_allclose(both, [x for x, _ in wanted], atol=1e-10)


def test_the_greedy_order_is_the_papers():
    start = DRAW.normal(size=5)
    wanted = list(paper.greedy(slope, prox, start, lipschitz=40.0, visits=30))
    found = iterates(lasso(order="greedy", lipschitz=40.0), smooth, start, 6)[0]
    np.testing.assert_allclose(found, wanted[4::5], atol=1e-10)


@pytest.mark.parametrize("order", ["cyclic", "shuffled", "greedy"])
def test_every_order_comes_to_the_lasso(order):
    found = solved(lasso(order=order))
    assert bool(found.converged)
    np.testing.assert_allclose(found.params, solution()[0], atol=1e-9)
    assert 0 < len(solution()[1]) < 5  # some numbers are zero, some not


def test_shuffled_orders_differ_with_the_seed():
    first, other = (
        iterates(lasso(order="shuffled", seed=s), smooth, np.ones(5), 2)[0] for s in (0, 1)
    )
    assert not np.allclose(first[0], other[0])


def test_an_exact_solver_of_blocks_comes_there_in_fewer_sweeps():
    def exact(objective, block):
        # The objective is quadratic: its minimum is where Newton's step leads, shrunk.
        curvature = jax.hessian(objective)(block)
        return soft(block - jax.grad(objective)(block) / curvature, WEIGHT, 1 / curvature)

    found, by_steps = solved(lasso(block_solver=exact)), solved(lasso())
    np.testing.assert_allclose(found.params, solution()[0], atol=1e-9)
    assert int(found.steps) < int(by_steps.steps)


def test_the_lasso_has_derivatives_by_its_strength_and_by_the_data():
    solver = lasso()

    def fit(solver, b):
        return solver.run(smooth, np.zeros(5), b).params

    def run(solver, b):
        by_data = jax.jacrev(lambda b: fit(solver, b))(b)
        return jax.jacrev(lambda s: fit(s, b))(solver).strength, by_data

    by_strength, by_data = compiled_once(run)(solver, B)
    x, active, inner = solution()
    wanted = np.zeros(5)
    wanted[active] = -np.linalg.solve(inner, np.sign(x[active]))
    np.testing.assert_allclose(by_strength, wanted, atol=1e-6)
    wanted = np.zeros((5, 12))
    wanted[active] = np.linalg.solve(inner, A[:, active].T)
    np.testing.assert_allclose(by_data, wanted, atol=1e-6)


def test_unrolled_it_has_the_derivative_of_the_solution():
    solver = lasso(differentiate="unroll", max_steps=150)

    def run(solver):
        return jax.jacrev(lambda s: s.run(smooth, np.zeros(5)).params)(solver).strength

    x, active, inner = solution()
    found = compiled_once(run)(solver)
    np.testing.assert_allclose(
        found[active], -np.linalg.solve(inner, np.sign(x[active])), rtol=1e-6
    )


def test_without_a_prox_it_minimises():
    solver = gl.solvers.block_coordinate_descent(tol=1e-9)
    found = solved(solver)
    np.testing.assert_allclose(found.params, np.linalg.lstsq(A, B)[0], atol=1e-8)
    assert float(found.error) == pytest.approx(np.linalg.norm(slope(np.asarray(found.params))))


def test_a_number_alone_has_no_rows():
    with pytest.raises(ValueError, match="has no rows to be its blocks"):
        gl.solvers.block_coordinate_descent().run(lambda x: x**2, 1.0)
