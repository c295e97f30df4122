"""The contract of methods for bilevel problems finds what breaks it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab as gl
from gradlab import core
from gradlab.meta.bilevel._sl_bamm import SLBAMM, SLBAMMState
from gradlab.testing import _bilevel
from gradlab.testing._bilevel import BilevelSubject
from gradlab.testing._block_quadratic import BLOCKS, BlockQuadratic
from gradlab.testing._failure import BrokenPromise

SETTINGS = {"learning_rate": 0.02, "inner_learning_rate": 0.5, "multiplier_learning_rate": 0.5,
            "averaging": 0.5, "averaging_decay": 0.5}  # fmt: skip


def method(kind=SLBAMM, **given):
    return core.build(kind, "method", **{**SETTINGS, **given})


class Fixed(SLBAMM):
    """It ignores a hyperparameter."""

    def advance(self, problem, state, batches, key):
        return SLBAMM.advance(self.with_values(averaging=0.5), problem, state, batches, key)


class Uphill(SLBAMM):
    """It goes the other way."""

    def advance(self, problem, state, batches, key):
        rate = -self.learning_rate / 10
        return SLBAMM.advance(self.with_values(learning_rate=rate), problem, state, batches, key)


class Random(SLBAMM):
    """It adds noise from the key."""

    needs = ("key",)

    def advance(self, problem, state, batches, key):
        new = super().advance(problem, state, batches, key)
        noise = jax.random.normal(key, new.x["gain"].shape, new.x["gain"].dtype)
        return new._replace(x={**new.x, "gain": new.x["gain"] + 1e-3 * noise})


class Widening(SLBAMM):
    """It does not keep dtypes."""

    def step(self, problem, state, batches=None, key=None):
        new = super().step(problem, state, batches, key)
        return new._replace(x=jax.tree.map(lambda leaf: leaf.astype(jnp.float32), new.x))


class Aliased(SLBAMM):
    """Its state holds one buffer twice."""

    def start(self, problem, x, y, batches):
        return SLBAMMState(core.step_count(), x, y, y)


class Silent(Random):
    """It takes a step without the key that it needs."""

    def step(self, problem, state, batches=None, key=None):
        key = jax.random.PRNGKey(0) if key is None else key
        return super().step(problem, state, batches, key)


def subject(kind=SLBAMM, **traits):
    return BilevelSubject(
        method(kind), core.Traits(**traits), lambda **given: method(kind, **given)
    )


def test_the_problems_solution_is_where_its_hypergradient_is_zero():
    known = BlockQuadratic.make()
    np.testing.assert_allclose(known.hypergradient(known.solution()), 0, atol=1e-14)
    with jax.enable_x64(True):
        x, _ = known.variables(jnp.float64)
        batches = known.batches(jnp.float64)

        def best(x):
            flat = jnp.concatenate([x["gain"][None], x["shift"]])
            return {"w": batches[1]["coupling"] @ flat + batches[1]["offset"]}

        slope = jax.grad(known.inner, argnums=1)(x, best(x), batches[1])
        np.testing.assert_allclose(slope["w"], 0, atol=1e-14)
        found = jax.grad(lambda x: known.outer(x, best(x), batches[0]))(x)
    flat = np.array([found["gain"], *found["shift"]])
    np.testing.assert_allclose(flat, known.hypergradient(np.array([1.0, -1.5, 1.0])), rtol=1e-12)


def test_the_constraint_binds_at_the_start_and_not_at_the_solution():
    known = BlockQuadratic.make()
    x, _ = known.variables()
    best = known.solution()

    def trees(flat):
        outer = {"gain": jnp.asarray(flat[0]), "shift": jnp.asarray(flat[1:])}
        return outer, {"w": jnp.asarray(known.inner_solution(flat))}

    first = np.array([float(x["gain"]), *np.asarray(x["shift"], float)])
    assert float(known.constraint(*trees(first))) > 0
    assert float(known.constraint(*trees(best))) < 0
    assert float(known.constraint(*known.project(*trees(first)))) == pytest.approx(0, abs=1e-5)


def test_a_problem_of_blocks_is_the_same_problem():
    known = BlockQuadratic.make()
    x, y = known.variables()
    outer, inner = known.batches()
    y = {"w": y["w"] + 0.3}
    whole = float(known.outer(x, y, outer)), float(known.inner(x, y, inner))
    parts = [
        [
            float(f(x, {"w": y["w"][i]}, jax.tree.map(lambda leaf, i=i: leaf[i], batch)))
            for i in range(BLOCKS)
        ]
        for f, batch in ((known.outer_of_block, outer), (known.inner_of_block, inner))
    ]
    assert whole == pytest.approx((np.mean(parts[0]), np.sum(parts[1])), rel=1e-5)


@pytest.mark.parametrize(
    ("promise", "broken", "message"),
    [
        ("every hyperparameter is consumed", subject(Fixed), "averaging has no effect"),
        ("it finds the solution in closed form", subject(Uphill), "first distance is left"),
        ("dtypes are stable", subject(Widening), "bfloat16"),
        ("state is plain and resumes", subject(Aliased), "one buffer"),
        ("stochastic", subject(Random), "denies being stochastic"),
        ("stochastic", subject(stochastic=True), "claims being stochastic"),
        ("what it needs", subject(Silent, stochastic=True), "a step without a key is accepted"),
        (
            "what it needs",
            BilevelSubject(method(), needs=("key",)),
            "its entry declares",
        ),
    ],
)
def test_a_broken_promise_is_named(promise, broken, message):
    with pytest.raises(BrokenPromise, match=message):
        _bilevel.PROMISES[promise](broken)


def test_a_key_that_is_declared_is_fine():
    report = _bilevel.PROMISES["stochastic"](subject(Random, stochastic=True))
    assert report == "the key decides"


def test_entries_of_the_family_are_of_this_kind():
    entry = gl.catalog.get("f2sa")
    assert entry.kind == "bilevel"
    assert "every hyperparameter is consumed" in gl.testing.PROMISES_OF["bilevel"]
