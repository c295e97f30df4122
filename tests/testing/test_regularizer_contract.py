"""The contract says in plain words which promise a regularizer of one's own breaks."""

import jax
import jax.numpy as jnp
import pytest

import gradlab as gl
from gradlab import core, testing
from gradlab.core import hyper

KNOWN = testing.PROMISES_OF["regularizer"]


class Toy(core.Regularizer):
    """Half the squared norm of everything; subclasses break one promise each."""

    weight: core.Scalar = hyper("[0, inf)", default=0.1)

    def __call__(self, params):
        leaves = [x for x in jax.tree.leaves(params) if jnp.issubdtype(x.dtype, jnp.inexact)]
        total = sum(
            (self.of(jnp.asarray(x, core.compute_dtype(x))) for x in leaves), jnp.float32(0)
        )
        return jnp.asarray(self.weight, total.dtype) * total

    def of(self, x):
        return jnp.sum(core.abs_sq(x)) / 2


class Unused(Toy):
    scale: core.Scalar = hyper(default=0.5)


class PlainNorm(Toy):
    def of(self, x):
        return jnp.sqrt(jnp.sum(core.abs_sq(x)))


class Kinked(Toy):
    def of(self, x):
        return jnp.sum(core.absolute(x))


class StopsGradient(Toy):
    def __call__(self, params):
        return super().__call__(params) * jax.lax.stop_gradient(self.weight + 1)


class OneArray(Toy):
    def __call__(self, params):
        return self.weight * jnp.stack([jnp.sum(x) for x in jax.tree.leaves(params)])


class Narrow(Toy):
    def __call__(self, params):
        return sum(jnp.sum(x * x) for x in jax.tree.leaves(params)) * self.weight


class HalfInside(Toy):
    def of(self, x):
        return jnp.sum(jnp.square(x.astype(jnp.float16))).astype(jnp.float32)


class Aliases(Toy):
    def init(self, params):
        return params


class NeedsMore(Toy):
    needs = ("state",)

    def __call__(self, params, state=None):
        return super().__call__(params)


class Integers(Toy):
    def __call__(self, params):
        return jax.tree.reduce(lambda a, x: a + self.weight * jnp.mean(jnp.square(x)), params, 0.0)


class Draws(Toy):
    needs = ("key",)

    def __call__(self, params, key):
        noise = jax.random.uniform(key) if self.heeds else 1.0
        return super().__call__(params) * noise

    heeds = True


class DrawsNothing(Draws):
    heeds = False


class NoReparameterization(core.Reparameterization):
    def __call__(self, params):
        return params["head"]


def check(kind, promise, **settings):
    return testing.check_regularizer(core.build(kind), promises=[promise], **settings)


def test_a_regularizer_of_ones_own_passes_every_promise():
    report = testing.check_regularizer(core.build(Toy))
    assert set(report.kept) == set(KNOWN)
    assert not report.broken


@pytest.mark.parametrize(
    ("kind", "promise", "words"),
    [
        (OneArray, "it is a regularizer", "its value is no scalar"),
        (NoReparameterization, "it is a regularizer", "not like the parameters"),
        (NeedsMore, "what it needs", "it needs state, but works without"),
        (Unused, "every hyperparameter is consumed", "scale has no effect"),
        (StopsGradient, "hypergradients equal finite differences", "the finite difference"),
        (PlainNorm, "derivatives are finite at zero", "where all parameters are zero"),
        (Narrow, "narrow parameters", "not float32 or wider"),
        (HalfInside, "narrow parameters", "not computed with in float32"),
        (Aliases, "state is plain", "alias of a parameter"),
        (Integers, "odd trees work", "is not finite"),
        (Kinked, "smooth", "kink or jump"),
        (DrawsNothing, "stochastic", "denies being stochastic, but it needs a key"),
    ],
)
def test_a_broken_promise_is_named(kind, promise, words):
    with pytest.raises(testing.ContractError, match=words):
        check(kind, promise)


def test_what_is_claimed_and_what_is_denied_has_to_be_so():
    for promise, traits, words in (
        ("smooth", core.Traits(smooth=False, kinks="nowhere"), "no kink or jump was found"),
        ("smooth", core.Traits(smooth=False), "without saying where"),
        ("complex numbers", core.Traits(complex=False), "complex numbers do not raise"),
        ("stochastic", core.Traits(stochastic=True), "it needs no key"),
    ):
        with pytest.raises(testing.ContractError, match=words):
            check(Toy, promise, traits=traits)
    with pytest.raises(testing.ContractError, match="the key has no effect"):
        check(DrawsNothing, "stochastic", traits=core.Traits(stochastic=True))
    kept = check(Draws, "stochastic", traits=core.Traits(stochastic=True)).kept
    assert kept == {"stochastic": "the key decides"}
    kinks = core.Traits(smooth=False, kinks="Where a parameter is zero.")
    assert "on a line" in check(Kinked, "smooth", traits=kinks).kept["smooth"]


def test_what_the_contract_cannot_make_is_given_by_a_call():
    class Needy(Toy):
        needs = ("teacher",)

        def __call__(self, params, teacher):
            return super().__call__(params) * teacher

    with pytest.raises(testing.ContractError, match="cannot make the argument 'teacher'"):
        check(Needy, "it is a regularizer")
    report = check(Needy, "it is a regularizer", call=lambda penalty, p: penalty(p, 2.0))
    assert report.kept == {"it is a regularizer": "a scalar"}


def test_every_promise_holds_for_hutchinsons_method_as_well():
    def call(penalty, params):
        def losses(head):
            return testing.objectives({**params, "head": head})

        return penalty(params["head"], losses, key=jax.random.PRNGKey(1))

    penalty = gl.hessian_alignment(0.1, 0.1, method="hutchinson", samples=2)
    promises = ("it is data", "derivatives are finite at zero", "narrow parameters")
    assert set(testing.check_regularizer(penalty, call=call, promises=promises).kept) == set(
        promises
    )


def test_what_is_no_regularizer_of_ours_is_refused():
    with pytest.raises(TypeError, match="gradlab regularizer"):
        testing.check_regularizer(lambda params: 0.0)
    with pytest.raises(testing.ContractError, match="unknown keyword"):
        check(Toy, "bad input is refused", make=lambda **k: gl.norm_loss(0.1))
