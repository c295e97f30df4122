"""Programs on gradients of every kind: solved to their tolerance, counted where not."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab as gl
from gradlab.testing._subject import compiled_once

MAKERS = {
    "upgrad": lambda rows: gl.upgrad(),
    "mgda": lambda rows: gl.mgda(),
    "cagrad": lambda rows: gl.cagrad(0.4, norm_eps=0.0),
    "dualproj": lambda rows: gl.dualproj(),
    "nash_mtl": lambda rows: gl.nash_mtl(rows),
    "fairgrad": lambda rows: gl.fairgrad(2.0),
}


def gradients(rows):
    """Stacks by their kind; those without a direction for all objectives end in 'still'."""
    draw = np.random.default_rng(rows)
    columns = 2 * rows
    common = draw.normal(size=columns)
    base = draw.normal(size=(rows, columns)) + 0.5 * common
    yield "independent", base
    yield "dependent", draw.normal(size=(rows, rows // 2)) @ draw.normal(size=(rows // 2, columns))
    with_zero = base.copy()
    with_zero[rows // 2] = 0
    yield "one of them zero", with_zero
    twice = base.copy()
    twice[1] = twice[0]
    yield "two of them equal", twice
    opposite = base.copy()
    opposite[1] = -opposite[0]
    yield "two of them opposite, still", opposite
    yield "badly scaled", base * 10.0 ** draw.uniform(-12, 12, (rows, 1))


@functools.cache
def step(name, rows, dtype):
    opt = MAKERS[name](rows)

    def weigh(gram):
        return gl.aggregators.weights_from_gramian(opt, gram, opt.init({}))

    return compiled_once(weigh) if rows < 100 else jax.jit(weigh)


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_all_kinds_of_gradients(name, dtype):
    with jax.enable_x64(dtype == "float64"):
        for kind, rows in gradients(8):
            if name in ("nash_mtl", "fairgrad") and ("still" in kind or kind == "dependent"):
                continue
            rows = np.asarray(rows, dtype)
            weights, state = step(name, 8, dtype)(jnp.asarray(rows @ rows.T))
            assert weights.dtype == dtype
            assert jnp.all(jnp.isfinite(weights)), kind
            assert state.unsolved == 0, kind


@pytest.mark.parametrize("name", ["nash_mtl", "fairgrad"])
def test_a_program_without_a_solution_is_counted(name):
    rows = np.array([[1.0, 0.0], [-1.0, 0.0]])
    opt = MAKERS[name](2)
    state = opt.init({})
    for _ in range(2):
        update, state = opt.update(jnp.asarray(rows, jnp.float32), state)
        np.testing.assert_array_equal(update, 0)
    assert state.unsolved == 2


MANY = [
    pytest.param(name, dtype, marks=[pytest.mark.slow] * (name == "upgrad" or dtype == "float64"))
    for dtype in ("float32", "float64")
    for name in MAKERS
]


@pytest.mark.parametrize(("name", "dtype"), MANY)
def test_many_objectives(name, dtype):
    with jax.enable_x64(dtype == "float64"):
        for kind, rows in gradients(256):
            # Where lengths of many gradients differ by 24 orders of magnitude, FairGrad's Newton
            # steps end at their cap, as its docstring says.
            kinds = ("independent",) if name == "fairgrad" else ("independent", "badly scaled")
            if kind not in kinds:
                continue
            rows = np.asarray(rows, dtype)
            weights, state = step(name, 256, dtype)(jnp.asarray(rows @ rows.T))
            assert jnp.all(jnp.isfinite(weights))
            assert state.unsolved == 0, kind


def test_programs_in_a_batch_equal_one_after_the_other():
    draw = np.random.default_rng(3)
    j = draw.normal(size=(3, 4, 6)) + 0.3
    grams = jnp.asarray(j @ j.transpose(0, 2, 1), jnp.float32)
    for name in ("mgda", "cagrad", "dualproj", "nash_mtl"):
        one = step(name, 4, "float32")
        mapped = jax.vmap(one)(grams)[0]
        np.testing.assert_allclose(mapped, [one(g)[0] for g in grams], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["mgda", "cagrad", "dualproj", "nash_mtl", "fairgrad"])
def test_derivatives_by_gradients(name):
    opt = MAKERS[name](4)
    draw = np.random.default_rng(4)
    with jax.enable_x64(True):
        j = jnp.asarray(draw.normal(size=(4, 6)) + 0.3)
        direction = jnp.asarray(draw.normal(size=(4, 6)))

        def value(j):
            return jnp.sum(jnp.sin(opt.update(j, opt.init(j[0]))[0]))

        h, at = 1e-6, compiled_once(value)
        difference = (at(j + h * direction) - at(j - h * direction)) / (2 * h)
        slope = compiled_once(jax.grad(value))(j)
        np.testing.assert_allclose(jnp.sum(slope * direction), difference, rtol=1e-5)


def test_nash_mtl_keeps_its_weights_between_bargains():
    opt = gl.nash_mtl(2, 1e6, update_weights_every=2)
    update = jax.jit(opt.update)
    state = opt.init(jnp.zeros(2))
    one, other = jnp.array([[4.0, 0.0], [0.0, 1.0]]), jnp.array([[1.0, 0.0], [0.0, 1.0]])
    first, state = update(one, state)
    np.testing.assert_allclose(first, [1, 1], rtol=1e-5)
    second, state = update(other, state)
    np.testing.assert_allclose(second, [0.25, 1], rtol=1e-5)
    third, state = update(other, state)
    np.testing.assert_allclose(third, [1, 1], rtol=1e-5)
    assert state.count == 3
