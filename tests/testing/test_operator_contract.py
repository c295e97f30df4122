"""The contract says in plain words which promise an operator of one's own breaks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab as gl
from gradlab import catalog, core, testing

KNOWN = testing.PROMISES_OF["operator"]
EXAMPLE = {"strength": 0.4}
KINKED = {"smooth": False, "kinks": "At the threshold."}


def penalty(tree, strength):
    return strength * sum(jnp.sum(jnp.abs(x)) for x in jax.tree.leaves(tree))


def operator(formula):
    """An operator from what it makes of an array and a strength."""

    def prox(tree, strength=1.0, scaling=1.0):
        operand = core.Operand.of("prox", tree)
        return operand.map(formula, operand.strengths("strength", strength, scaling))

    return prox


def broken(function, promise, *, penalty=penalty, example=None, needs=(), **traits):
    with pytest.raises(testing.ContractError) as error:
        testing.check_operator(
            function,
            penalty,
            example=EXAMPLE if example is None else example,
            needs=needs,
            traits=core.Traits(**{**KINKED, **traits}),
            promises=[promise],
        )
    return str(error.value)


soft = operator(core.soft_threshold)


def test_a_correct_operator_keeps_every_promise():
    report = testing.check_operator(soft, penalty, example=EXAMPLE, traits=core.Traits(**KINKED))
    assert set(report.kept) == set(KNOWN)


def test_the_rooms_of_operators_have_them():
    rooms = {entry.room for entry in catalog.entries() if entry.kind == "operator"}
    assert rooms == {"projections", "prox"}
    with pytest.raises(TypeError, match="penalty="):
        testing.check_entry(core.Entry(gl.prox.prox_none, "x", (), {}, room="prox"))


@pytest.mark.parametrize(
    "formula",
    [
        lambda x, s: core.soft_threshold(x, s * 1.0001),
        lambda x, s: core.soft_threshold(x, s) + 1e-5,
        lambda x, s: jnp.where(jnp.abs(x) < s, 0, x),
        lambda x, s: x,
    ],
    ids=["another strength", "a shift", "hard instead of soft", "the identity"],
)
def test_a_value_that_is_not_optimal_is_seen(formula):
    assert "smaller" in broken(operator(formula), "its value is optimal")


def test_a_scaling_that_is_not_used_as_a_strength_is_seen():
    def prox(tree, strength=1.0, scaling=1.0):
        return soft(tree, strength, jnp.sqrt(scaling))

    assert "smaller" in broken(prox, "its value is optimal")


def test_a_projection_to_a_smaller_ball_is_seen():
    def ball(tree):
        return gl.projections.projection_l2_ball(tree, 0.99)

    def indicator(tree):
        return jnp.where(optax_norm(tree) <= 1 + 1e-9, 0.0, jnp.inf)

    told = broken(ball, "its value is optimal", penalty=indicator, example={})
    assert "smaller" in told


def optax_norm(tree):
    return jnp.sqrt(sum(jnp.sum(x**2) for x in jax.tree.leaves(tree)))


@pytest.mark.parametrize(
    ("formula", "promise", "told"),
    [
        (
            lambda x, s: x * jnp.maximum(1 - s / jnp.sqrt(x * x), 0),
            "derivatives are finite at zero",
            "not finite",
        ),
        (
            lambda x, s: core.soft_threshold(x, jax.lax.stop_gradient(s)),
            "derivatives equal finite differences",
            "the difference",
        ),
        (
            lambda x, s: core.soft_threshold(x + 0.01, s),
            "a strength of zero changes nothing",
            "moves numbers",
        ),
        (lambda x, s: x / 2 + 0 * s, "every strength is consumed", "has no effect"),
        (
            lambda x, s: core.soft_threshold(x, jnp.mean(s)),
            "strengths as trees",
            "does not act on that entry",
        ),
        (lambda x, s: x - jnp.mean(x), "elementwise", "one number moves others"),
        (
            lambda x, s: core.soft_threshold(jnp.real(x), s) + 0 * x,
            "complex numbers",
            "turned",
        ),
        (lambda x, s: x / (1 + s), "smooth", "denies being smooth"),
        (lambda x, s: 1.5 * core.soft_threshold(x, s), "firmly non-expansive", "it claims"),
    ],
)
def test_each_promise_sees_what_breaks_it(formula, promise, told):
    assert told in broken(operator(formula), promise)


def test_denials_have_to_be_necessary():
    assert "no two points" in broken(soft, "firmly non-expansive", expansive="It is not.")
    assert "denies being elementwise" in broken(soft, "elementwise", elementwise=False)
    assert "denies complex" in broken(soft, "complex numbers", complex=False)
    assert "claims to be smooth" in broken(soft, "smooth", smooth=True, kinks="")
    assert "without saying where" in broken(soft, "smooth", kinks="")


def test_other_dtypes_and_trees_are_seen():
    def wide(tree, strength=1.0, scaling=1.0):
        return jax.tree.map(lambda x: core.soft_threshold(x, strength * scaling), tree)

    assert "is not like its argument" in broken(wide, "dtypes are kept")

    def narrow(tree, strength=1.0, scaling=1.0):
        return jax.tree.map(
            lambda x: core.soft_threshold(x * 3, jnp.asarray(3 * strength * scaling, x.dtype)) / 3,
            tree,
        )

    assert "computed with in float32" in broken(narrow, "dtypes are kept")

    def flattened(tree, strength=1.0, scaling=1.0):
        return jax.tree.leaves(soft(tree, strength, scaling))

    assert "not like its argument" in broken(flattened, "it is an operator")

    def only_dicts(tree, strength=1.0, scaling=1.0):
        return {name: soft(x, strength, scaling) for name, x in tree.items()}

    assert "odd trees work" in broken(only_dicts, "odd trees work")


def test_an_operator_outside_of_jax_is_seen():
    def host(tree, strength=1.0, scaling=1.0):
        return jax.tree.map(lambda x: jnp.asarray(np.sign(np.asarray(x))), tree)

    assert "Tracer" in broken(host, "it is an operator")

    def loop(tree, strength=1.0, scaling=1.0):
        return soft(tree, strength if float(scaling) > 0 else 0.0, scaling)

    assert "Error" in broken(loop, "vmap equals a loop")


def unchecked(tree, strength=1.0, scaling=1.0):
    return jax.tree.map(lambda x: core.soft_threshold(x, strength * scaling), tree)


def swallows(tree, strength=1.0, scaling=1.0, **rest):
    return soft(tree, strength, scaling)


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (unchecked, "strength=-1.0 is accepted"),
        (swallows, "a misspelt keyword is accepted"),
    ],
)
def test_arguments_that_are_not_checked_are_seen(function, told):
    assert told in broken(function, "bad input is refused")
