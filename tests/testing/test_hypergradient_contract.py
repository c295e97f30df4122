"""The contract of hypergradients finds what breaks it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab as gl
from gradlab import core
from gradlab.testing import _hypergradient
from gradlab.testing._failure import BrokenPromise
from gradlab.testing._hypergradient import HypergradientSubject, QuadraticProblem


class Descended(core.Data):
    """The derivative through gradient descent on the inner variables."""

    learning_rate: core.Scalar = core.hyper("(0, 1]")
    steps: int = core.static(convert=core.count_at_least(1))


@core.builds(Descended)
def descended(learning_rate=0.5, *, steps=60):
    """Through gradient descent."""


def descend(method, problem, x, steps=None):
    def body(y, _):
        slope = jax.grad(problem.inner, argnums=1)(x, y)
        return jax.tree.map(lambda y, g: y - method.learning_rate * g, y, slope), None

    y, _ = jax.lax.scan(body, problem.inner_variables(), None, length=steps or method.steps)
    return problem.outer(x, y)


def unrolled(method, problem, x, key):
    del key
    return jax.grad(lambda x: descend(method, problem, x))(x)


def noisy(method, problem, x, key):
    noise = 0.1 * jax.random.normal(key, (3,), problem.offset.dtype)
    g = unrolled(method, problem, x, key)
    return {"shift": g["shift"] + noise[:2], "gain": g["gain"] + noise[2]}


def subject(estimate=unrolled, make=descended, **traits):
    return HypergradientSubject(make(), estimate, core.Traits(**traits), make)


def check(subject, promises=None):
    return {
        name: _hypergradient.PROMISES[name](subject) for name in promises or _hypergradient.PROMISES
    }


def test_the_problems_closed_form_is_its_derivative():
    with jax.enable_x64(True):
        problem = QuadraticProblem.make(jnp.float64)
        x = problem.outer_variables()
        assert set(problem.solution(x)) == {"w", "b"}
        slope = jax.grad(problem.inner, argnums=1)(x, problem.solution(x))
        assert max(float(jnp.max(jnp.abs(g))) for g in slope.values()) < 1e-14
        a, b = np.asarray(problem.curvature), np.asarray(problem.coupling)
        flat_x = np.array([x["gain"], *x["shift"]])
        best = np.linalg.solve(a, b @ flat_x + problem.offset)
        by_hand = flat_x + b.T @ np.linalg.solve(a, best - np.asarray(problem.target))
        found = problem.hypergradient(x)
        np.testing.assert_allclose([found["gain"], *found["shift"]], by_hand, rtol=1e-12)


def test_a_method_that_keeps_its_promises_passes():
    assert "largest error" in check(subject())["it equals the closed form, or says why not"]
    assert check(subject())["it is data"] == "1 hyperparameters, each with an effect"
    assert check(subject(noisy, stochastic=True))["stochastic"] == "the key decides"
    short = subject(make=lambda **given: descended(**{"steps": 2, **given}), biased="Two steps.")
    assert "biased by" in check(short)["it equals the closed form, or says why not"]


def test_a_plain_function_is_a_method_too():
    method = descended()
    alone = HypergradientSubject(
        lambda problem, x: unrolled(method, problem, x, None),
        lambda method, problem, x, key: method(problem, x),
    )
    assert check(alone)["it is data"] == "a function: nothing to configure"


def without(key):
    def estimate(method, problem, x, _):
        return {**unrolled(method, problem, x, None), key: jnp.zeros_like(x[key])}

    return estimate


def fixed_rate(method, problem, x, key):
    return unrolled(dataclasses.replace(method, learning_rate=0.5), problem, x, key)


def narrowed(method, problem, x, key):
    g = unrolled(method, problem, x, key)
    return jax.tree.map(lambda g: g.astype(jnp.bfloat16), g)


def retracing(method, problem, x, key):
    rate = method.learning_rate
    return unrolled(method, problem, x, key) if float(rate) else x


@pytest.mark.parametrize(
    ("promise", "broken", "message"),
    [
        ("it gives a hypergradient", subject(lambda *_: {"shift": jnp.ones(2)}), "it gives"),
        ("it is data", subject(fixed_rate), "learning_rate has no effect"),
        ("it equals the closed form, or says why not", subject(without("gain")), "closed form"),
        (
            "it equals the closed form, or says why not",
            subject(noisy, stochastic=True, biased="Nothing, in truth."),
            "declares a bias",
        ),
        ("dtypes are stable", subject(narrowed), "bfloat16"),
        ("stochastic", subject(noisy), "denies being stochastic"),
        ("stochastic", subject(stochastic=True), "claims being stochastic"),
    ],
)
def test_a_broken_promise_is_named(promise, broken, message):
    with pytest.raises(BrokenPromise, match=message):
        check(broken, [promise])


def test_a_method_that_is_traced_for_each_value_fails():
    with pytest.raises(jax.errors.ConcretizationTypeError):
        check(subject(retracing), ["it is data"])


def test_an_entry_of_a_function_is_called_with_its_example():
    entry = gl.catalog.Entry(
        descend,
        formula="",
        paper=("M017",),
        example={"steps": 3},
        room="meta",
        estimate=unrolled,
    )
    assert entry.kind == "hypergradient"
    assert not entry.makes_data
    assert entry.make().keywords == {"steps": 3}
    assert entry.ranges == {}
