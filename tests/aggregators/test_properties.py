"""What every aggregator says of itself is shown; what it denies, fails on the stack it names."""

import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linprog

from gradlab import catalog
from gradlab.aggregators._weighting import PROPERTIES
from gradlab.testing._subject import compiled_once

ROWS, COLUMNS = 5, 6
SMALL = 1e-7
ENTRIES = {e.name: e for e in catalog.entries() if e.room == "aggregators"}


def make(entry, rows):
    """An instance with the default arguments, for so many objectives."""
    required = {
        "objectives": rows,
        "weights": tuple(np.linspace(0.5, 1.5, rows)),
        "samples": 1,
    }
    signature = inspect.signature(entry.function).parameters
    needed = {n: v for n, v in required.items() if n in signature}
    missing = {
        n: entry.example[n]
        for n, p in signature.items()
        if p.default is inspect.Parameter.empty and n not in needed
    }
    return entry.function(**missing, **needed)


@functools.cache
def aggregate(name, rows):
    """The first step on a batch of stacks, in float64."""
    opt = make(ENTRIES[name], rows)
    extra = {"losses": jnp.ones(rows)} if "losses" in opt.rule.required() else {}

    def first(stack):
        params = jnp.zeros(stack.shape[1])
        return opt.update(stack, opt.init(params), params, **extra)[0]

    run = compiled_once(jax.vmap(first))

    def in_float64(stacks):
        with jax.enable_x64(True):
            return np.asarray(run(jnp.asarray(np.asarray(stacks, np.float64))))

    return in_float64


def complement(draw, basis):
    """Orthonormal columns, orthogonal to those of `basis`."""
    rows, known = basis.shape
    free = draw.normal(size=(rows, rows - known))
    return np.linalg.qr(free - basis @ (basis.T @ free))[0]


def stack_with(draw, left, rank):
    """Singular values and right vectors at random for given left ones."""
    right = np.linalg.qr(draw.normal(size=(COLUMNS, COLUMNS)))[0]
    return left[:, :rank] * draw.uniform(0.3, 2, rank) @ right[:rank]


def unit(v):
    return v / np.linalg.norm(v)


@functools.cache
def bank():
    """Stacks by their kind, each with whether a positive combination of its rows is zero."""
    draw = np.random.default_rng(0)
    found = []
    for rank in (2, 4):
        v = unit(np.abs(draw.normal(size=ROWS)))[:, None]
        found.append((stack_with(draw, complement(draw, v), rank), True))
        found.append((stack_with(draw, np.hstack([v, complement(draw, v)]), rank), False))
        half = np.arange(ROWS) < 2
        weights = np.abs(draw.normal(size=ROWS))
        pair = np.stack([unit(weights * half), unit(weights * ~half)], axis=1)
        left = np.hstack([pair, complement(draw, pair)])[:, 1:]
        found.append((stack_with(draw, left, rank), False))
    found.append((draw.normal(size=(ROWS, COLUMNS)), False))
    found.append((np.abs(draw.normal(size=(ROWS, COLUMNS))), False))
    found.append((np.abs(draw.normal(size=(ROWS, COLUMNS))) * 10.0, False))
    return found


def is_strongly_stationary(stack):
    """Whether there is a w with w >= 1 and w J = 0, which any positive one can be scaled to."""
    found = linprog(
        np.zeros(len(stack)), A_eq=stack.T, b_eq=np.zeros(stack.shape[1]), bounds=(1, None)
    )
    return found.status == 0


def pad(stack):
    stack = np.asarray(stack, np.float64)
    return np.pad(stack, ((0, 0), (0, COLUMNS - stack.shape[1])))


def non_conflicting(run, stack, _):
    u = run([stack])[0]
    size = np.linalg.norm(stack)
    # Where the result is zero, what is left of it is rounding.
    return (stack @ u).min() >= -(SMALL * np.linalg.norm(u) + 1e-8 * size) * size


def linear_under_scaling(run, stack, _):
    draw = np.random.default_rng(1)
    for _ in range(3):
        c, d = draw.uniform(0.1, 2, (2, len(stack), 1))
        one, other, both = run([c * stack, d * stack, (0.3 * c + 1.7 * d) * stack])
        if not np.allclose(0.3 * one + 1.7 * other, both, atol=SMALL * np.abs(stack).max()):
            return False
    return True


def permutation_invariant(run, stack, _):
    draw = np.random.default_rng(2)
    orders = [np.arange(len(stack)), np.arange(len(stack))[::-1], draw.permutation(len(stack))]
    results = run([stack[order] for order in orders])
    return np.allclose(results, results[:1], atol=SMALL * np.abs(stack).max())


def strongly_stationary(run, stack, stationary):
    vanishes = np.linalg.norm(run([stack])[0]) <= SMALL * np.linalg.norm(stack)
    return stationary or not vanishes


def idempotent(run, stack, _):
    return np.allclose(run([stack])[0], stack[0], atol=SMALL * np.abs(stack).max())


def mean_without_conflict(run, stack, _):
    agrees = (stack @ stack.T).min() >= 0
    return not agrees or np.allclose(
        run([stack])[0], stack.mean(0), atol=SMALL * np.abs(stack).max()
    )


TESTS = dict(
    zip(
        PROPERTIES,
        (
            non_conflicting,
            linear_under_scaling,
            permutation_invariant,
            strongly_stationary,
            idempotent,
            mean_without_conflict,
        ),
        strict=True,
    )
)


def has(name, prop, stack, stationary):
    """Whether the property holds on one stack; a method that refuses the stack has it not."""
    try:
        return TESTS[prop](aggregate(name, len(stack)), stack, stationary)
    except ValueError:
        return False


@pytest.mark.parametrize("name", ENTRIES)
def test_properties_that_are_claimed_hold(name):
    rule = make(ENTRIES[name], ROWS).rule
    assert set(rule.holds) | set(rule.fails) == set(PROPERTIES)
    assert not set(rule.holds) & set(rule.fails)
    for prop in rule.holds:
        stacks = [(pad([[1.0, -2.0, 0.5]]), False)] if prop == "idempotent" else bank()
        for index, (stack, stationary) in enumerate(stacks):
            assert has(name, prop, stack, stationary), f"{prop} fails on stack {index}"


@pytest.mark.parametrize("name", ENTRIES)
def test_properties_that_are_denied_fail_on_the_stack_in_the_docstring(name):
    rule = make(ENTRIES[name], ROWS).rule
    text = " ".join((inspect.getdoc(ENTRIES[name].function) or "").lower().split())
    for prop, rows in rule.fails.items():
        stack = pad(rows)
        assert not has(name, prop, stack, is_strongly_stationary(stack)), f"{prop} holds on {rows}"
        shown = str([list(row) for row in rows])
        assert f"not {prop}: {shown}" in text, f"{prop}: {shown} is not in the docstring"
    for prop in rule.holds:
        assert prop in text
