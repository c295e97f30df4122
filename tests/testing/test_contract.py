"""The contract says in plain words which promise a rule of one's own breaks."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradlab as gl
from gradlab import catalog, core, testing
from gradlab.core import hyper
from gradlab.testing._subject import Subject, problem_params


class State(NamedTuple):
    """The state of the toy rule."""

    nu: Any


class Toy(core.Rule):
    """RMSprop in miniature; subclasses break one promise each."""

    learning_rate: core.Scalar = hyper("[0, inf)", default=0.01)
    decay: core.Scalar = hyper("[0, 1)", default=0.9)
    eps: core.Scalar = hyper("[0, inf)", default=1e-3)

    def init(self, params: Any) -> State:
        return State(core.moments_like(params))

    def update(self, updates: Any, state: Any, params: Any = None, **extra: Any) -> tuple:
        updates, nu = self.each(self.leaf, updates, state.nu)
        return updates, State(nu)

    def leaf(self, h: Any, g: Any, v: Any) -> tuple:
        v = core.average(v.real, core.abs_sq(g), h.decay)
        return -h.learning_rate * g / (core.sqrt(v) + h.eps), v


class Unused(Toy):
    momentum: core.Scalar = hyper("[0, 1)", default=0.5)


class LeavesOutOverflow(Toy):
    """Shrinks its state where a gradient is infinite, by what else has no effect."""

    backoff: core.Scalar = hyper("(0, 1)", default=0.5)

    def leaf(self, h, g, v):
        finite = jnp.isfinite(g)
        update, new = super().leaf(h, jnp.where(finite, g, 0), v)
        return update, jnp.where(finite, new, self.after(h, v))

    def after(self, h, v):
        return h.backoff * v


class UnusedAfterOverflow(LeavesOutOverflow):
    def after(self, h, v):
        return v


class PlainRoot(Toy):
    def leaf(self, h, g, v):
        v = core.average(v.real, core.abs_sq(g), h.decay)
        return -h.learning_rate * g / (jnp.sqrt(v) + h.eps), v


class StopsGradient(Toy):
    def leaf(self, h, g, v):
        update, v = super().leaf(h, g, v)
        return jax.lax.stop_gradient(update), v


class NaNRate(Toy):
    def leaf(self, h, g, v):
        update, v = super().leaf(h, g, v)
        infinite = jnp.sqrt(jnp.square(h.learning_rate) * 0.0)
        return update + infinite, v


class Aliases(Toy):
    def init(self, params):
        return State(params)


class DriftingDtype(Toy):
    def update(self, updates, state, params=None, **extra):
        nu = jax.tree.map(lambda v, g: 0.9 * v + 0.1 * g * g, state.nu, updates)
        scale = self.learning_rate * self.decay + self.eps
        return jax.tree.map(lambda g, v: -scale * g * (1 + v), updates, nu), State(nu)

    def init(self, params):
        return State(jax.tree.map(jnp.zeros_like, params))


class MutatesOthers(Toy):
    def update(self, updates, state, params=None, **extra):
        updates, state = super().update(updates, state, params, **extra)
        size = core.global_norm(updates)
        return jax.tree.map(lambda u: u / (1 + size), updates), state


class DropsSmallest(Toy):
    """Leaves out the weight of each array that would be the smallest after a plain step."""

    def update(self, updates, state, params=None, **extra):
        sizes = jax.tree.map(lambda g, p: jnp.abs(p - 0.01 * g), updates, params)
        updates, state = super().update(updates, state, params, **extra)

        def leaf(u, size):
            return jnp.where(size == jnp.min(size, initial=jnp.inf), 0, u)

        return jax.tree.map(leaf, updates, sizes), state


class NarrowRange(Toy):
    decay: core.Scalar = hyper(default=0.9)

    def leaf(self, h, g, v):
        return super().leaf(h, jnp.round(g), v)


class Scaled(Toy):
    """Needs an extra argument that is not reserved."""

    needs = ("strength",)

    def update(self, updates, state, params=None, *, strength=None, **extra):
        updates, state = super().update(updates, state, params, **extra)
        return jax.tree.map(lambda u: u * strength, updates), state


class Looping(Toy):
    """Takes three gradients, in a loop."""

    needs = ("grad_fn",)

    def update(self, updates, state, params=None, *, grad_fn=None, **extra):
        def turn(total, _):
            return jax.tree.map(jnp.add, total, grad_fn(params)), None

        updates, _ = jax.lax.scan(turn, updates, None, length=3)
        return super().update(updates, state, params, **extra)


class Sometimes(Toy):
    """Takes a gradient where the state says so."""

    needs = ("grad_fn",)

    def update(self, updates, state, params=None, *, grad_fn=None, **extra):
        first = sum(jnp.sum(v) for v in jax.tree.leaves(state.nu)) == 0
        updates = jax.lax.cond(first, lambda: grad_fn(params), lambda: updates)
        return super().update(updates, state, params, **extra)


class Chooses(Toy):
    """Computes the one or the other, as its learning rate says."""

    def update(self, updates, state, params=None, **extra):
        large = self.learning_rate > 0.5
        updates = jax.lax.cond(large, lambda: jax.tree.map(jnp.negative, updates), lambda: updates)
        return super().update(updates, state, params, **extra)


class ChoosesInALoop(Toy):
    """Does so until a number that its learning rate decides on is small."""

    def update(self, updates, state, params=None, **extra):
        def halve(x):
            return jax.lax.cond(x > 0.3, lambda: x / 4, lambda: x / 2)

        end = jax.lax.while_loop(lambda x: x > 0.01, halve, jnp.float32(self.learning_rate))
        updates = jax.tree.map(lambda u: end * u, updates)
        return super().update(updates, state, params, **extra)


MIX = np.array([0.5, -0.25, 1.0], np.float32)


class Weighted(Toy):
    """Mixes three functions of the gradient by an array of weights."""

    weights: Any = hyper("[-9, 9]")

    def leaf(self, h, g, v):
        update, v = super().leaf(h, g, v)
        return update * (3 + self.mixed(h.weights, jnp.tanh(jnp.stack([g, g / 2, 1 + 0 * g])))), v

    def mixed(self, weights, features):
        return jnp.tensordot(weights, features, 1)


class LeavesOutAWeight(Weighted):
    def mixed(self, weights, features):
        return super().mixed(weights.at[2].set(0.0), features)


class StopsAWeight(Weighted):
    def mixed(self, weights, features):
        return super().mixed(weights.at[0].set(jax.lax.stop_gradient(weights[0])), features)


class NaNWeight(Weighted):
    """A derivative by the middle weight, of which no number is tried, is not finite."""

    def mixed(self, weights, features):
        return super().mixed(weights, features) + jnp.sqrt(weights[1] - MIX[1])


class LateState(NamedTuple):
    """A count, and a key that is not read at once."""

    count: Any
    key: Any


class Late(core.Rule):
    """Draws at the third step."""

    at: int = core.static()

    def init(self, params):
        return LateState(core.step_count(), core.initial_key(0))

    def update(self, updates, state, params=None, **extra):
        noise = jax.random.normal(state.key) * (state.count == self.at)
        updates = jax.tree.map(lambda u: u + noise.astype(u.dtype), updates)
        return updates, LateState(state.count + 1, state.key)


@pytest.fixture(scope="module")
def healthy():
    return testing.check_transformation(core.build(Toy, learning_rate=0.01))


def test_a_rule_of_ones_own_passes_every_promise(healthy):
    assert set(healthy.kept) == set(testing.PROMISES)
    assert not healthy.broken


@pytest.mark.parametrize(
    ("rule", "promise", "words"),
    [
        (Unused, "every hyperparameter is consumed", "momentum has no effect"),
        (UnusedAfterOverflow, "every hyperparameter is consumed", "backoff has no effect"),
        (PlainRoot, "hypergradients are finite at zero", "the derivative by learning_rate is nan"),
        (StopsGradient, "hypergradients equal finite differences", "the finite difference"),
        (Aliases, "the first step can donate", "aliased"),
        (DriftingDtype, "dtypes are stable", "an average is kept in float16"),
        (MutatesOthers, "elementwise", "moves other coordinates"),
        (DropsSmallest, "elementwise", "moves other coordinates"),
        (NarrowRange, "smooth", "kink or jump"),
    ],
)
def test_a_broken_promise_is_named(rule, promise, words):
    with pytest.raises(testing.ContractError, match=words):
        testing.check_transformation(core.build(rule), promises=[promise])


@pytest.mark.parametrize(
    ("rule", "promise", "words"),
    [
        (LeavesOutAWeight, "every hyperparameter is consumed", r"weights\[2\] has no effect"),
        (StopsAWeight, "hypergradients equal finite differences", r"derivative by weights\[0\]"),
        (NaNWeight, "hypergradients are finite at zero", "derivative by weights is"),
    ],
)
def test_a_broken_promise_about_an_array_is_named_with_the_entry(rule, promise, words):
    with pytest.raises(testing.ContractError, match=words):
        testing.check_transformation(core.build(rule, weights=MIX), promises=[promise])


def test_an_optimizer_that_holds_an_array_must_have_no_hash(monkeypatch):
    rule = core.build(Weighted, weights=MIX)
    assert testing.check_transformation(rule, promises=["it is data"]).kept
    monkeypatch.setattr(core.Transform, "__hash__", lambda opt: 1)
    with pytest.raises(testing.ContractError, match="a hash although weights is an array"):
        testing.check_transformation(rule, promises=["it is data"])


def test_an_array_may_be_a_hyperparameter():
    promises = [
        "it is data",
        "bad input is refused",
        "one trace for all values",
        "vmap over a stack equals a loop",
        "every hyperparameter is consumed",
        "hypergradients equal finite differences",
        "hypergradients are finite at zero",
        "dtypes are stable",
    ]
    report = testing.check_transformation(core.build(Weighted, weights=MIX), promises=promises)
    assert list(report.kept) == promises
    # Three entries of the array and three numbers.
    assert report.kept["every hyperparameter is consumed"].startswith("6 ")


def test_what_decides_only_after_an_overflow_has_an_effect():
    rule = core.build(LeavesOutOverflow)
    assert testing.check_transformation(rule, promises=["every hyperparameter is consumed"]).kept


def test_a_denial_has_to_be_necessary():
    for promise, traits, words in (
        ("elementwise", core.Traits(elementwise=False), "no coordinate feels another's"),
        ("smooth", core.Traits(smooth=False, kinks="nowhere"), "no kink or jump was found"),
        ("complex numbers", core.Traits(complex=False), "complex parameters do not raise"),
        ("stochastic", core.Traits(stochastic=True), "holds no raw uint32 key"),
        ("gradient evaluations", core.Traits(gradient_evaluations=2), "takes 1 gradient"),
        ("gradient evaluations", core.Traits(gradient_evaluations=1.5), "takes 1 gradient"),
        (
            "hypergradients equal finite differences",
            core.Traits(biased="nothing"),
            "leave something out, but they are exact",
        ),
    ):
        with pytest.raises(testing.ContractError, match=words):
            testing.check_transformation(core.build(Toy), traits=traits, promises=[promise])


def test_what_derivatives_leave_out_has_to_be_said_and_is_then_allowed():
    promise = "hypergradients equal finite differences"
    traits = core.Traits(biased="The update is constant.")
    rule = core.build(StopsGradient)
    report = testing.check_transformation(rule, traits=traits, promises=[promise])
    assert "finite differences do not" in report.kept[promise]
    with pytest.raises(testing.ContractError, match="derivative by learning_rate is nan"):
        testing.check_transformation(core.build(NaNRate), traits=traits, promises=[promise])


def test_a_conditional_that_a_stack_loses_is_found_but_for_loops_that_end_by_themselves():
    promise = "conditionals survive vmap"
    with pytest.raises(testing.ContractError, match="1 of 1 conditionals are lost under vmap"):
        testing.check_transformation(core.build(Chooses), promises=[promise])
    report = testing.check_transformation(core.build(ChoosesInALoop), promises=[promise])
    assert report.kept[promise] == "0 conditionals"


def test_what_has_to_point_downhill_is_handed_negative_gradients():
    params = problem_params()
    uphill, downhill = (Subject(core.build(Toy), needs=needs) for needs in ((), ("descent",)))
    jax.tree.map(
        lambda a, b: np.testing.assert_array_equal(a, -b),
        uphill.gradients(params),
        downhill.gradients(params),
    )
    entries = {entry.name: Subject.of(entry) for entry in catalog.entries() if entry.needs}
    assert entries["scale_by_zoom_linesearch"].update_scale == 1.0
    assert entries["tract"].update_scale < 0


def test_extra_arguments_that_are_not_reserved_are_handed_out_by_whoever_needs_them():
    def check(rule, extra):
        promises = ["what it needs", "it is an optax transformation", "dtypes are stable"]
        return testing.check_transformation(core.build(rule), extra=extra, promises=promises)

    def strength(params, given):
        assert jax.tree.structure(given["grad"]) == jax.tree.structure(params)
        return {"strength": jnp.float32(1.5)}

    assert check(Scaled, strength).kept["what it needs"] == "strength"
    with pytest.raises(testing.ContractError, match="gives no example"):
        check(Scaled, None)
    with pytest.raises(testing.ContractError, match="strength, which it does not need"):
        check(Toy, strength)


@pytest.mark.parametrize(("rule", "evaluations"), [(Looping, 4), (Sometimes, 2)])
def test_gradients_are_counted_in_loops_and_in_conditionals(rule, evaluations):
    def check(claim):
        traits = core.Traits(gradient_evaluations=claim)
        promises = ["gradient evaluations"]
        return testing.check_transformation(core.build(rule), traits=traits, promises=promises)

    assert check(evaluations).kept["gradient evaluations"] == f"{evaluations} a step"
    with pytest.raises(testing.ContractError, match=f"takes {evaluations} gradient"):
        check(evaluations - 1)


def test_a_key_may_have_its_effect_in_a_later_step_but_not_never():
    def check(at):
        traits, rule = core.Traits(stochastic=True), core.build(Late, at=at)
        return testing.check_transformation(rule, traits=traits, promises=["stochastic"])

    assert check(2).kept["stochastic"] == "the key decides"
    with pytest.raises(testing.ContractError, match="the key in the state has no effect"):
        check(1000)


def test_what_is_no_transform_of_ours_is_refused():
    with pytest.raises(TypeError, match="gradlab transform"):
        testing.check_transformation(optax.sgd(0.1))


def test_errors_of_the_public_function_are_checked_when_it_is_given():
    with pytest.raises(testing.ContractError, match="unknown keyword"):
        testing.check_transformation(
            gl.sgd(0.1), make=lambda **k: gl.sgd(0.1), promises=["bad input is refused"]
        )
