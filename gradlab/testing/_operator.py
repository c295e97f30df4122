"""The promises of an operator on trees: of a proximal one, or of a projection."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree

from gradlab.testing import _operator_numbers
from gradlab.testing._arrays import DTYPES
from gradlab.testing._claims import roughness
from gradlab.testing._failure import require
from gradlab.testing._operator_subject import OperatorSubject
from gradlab.testing._subject import compiled_once, flat


def check_protocol(subject: OperatorSubject) -> str:
    """It is pure, gives a tree like its argument, and the same eagerly and under jit."""
    tree = subject.tree()
    before = jax.tree.map(np.array, tree)
    value = subject(tree)
    same = jax.tree.map(np.array_equal, before, jax.tree.map(np.array, tree))
    require(all(jax.tree.leaves(same)), "it changed its argument")
    _check_like(value, tree, "")
    again = compiled_once(subject.__call__)(tree, 1.0, subject.as_arrays(jnp.float32))
    for a, b in zip(jax.tree.leaves(value), jax.tree.leaves(again), strict=True):
        close = np.allclose(a, b, rtol=1e-4, atol=1e-5)
        require(close, f"eagerly and under jit it differs: {a} and {b}")
    return "a tree like its argument; eager equals jit"


def _check_like(value: Any, tree: Any, where: str) -> None:
    shapes = [jax.tree.map(lambda x: (jnp.shape(x), jnp.result_type(x)), t) for t in (value, tree)]
    require(shapes[0] == shapes[1], f"its value is not like its argument{where}: {shapes[0]}")


def check_vmap(subject: OperatorSubject) -> str:
    """Several trees and strengths at once, as an array axis, give what a loop gives."""
    trees = [subject.tree(seed) for seed in range(3)]
    examples = [
        jax.tree.map(
            lambda x, k=k: jnp.asarray(x, jnp.float32) * (1 + k / 8), dict(subject.example)
        )
        if subject.scales
        else subject.as_arrays(jnp.float32)
        for k in range(3)
    ]
    rows = list(zip(trees, jnp.array([0.5, 1.0, 2.0]), examples, strict=True))
    stacked = jax.tree.map(lambda *xs: jnp.stack(xs), *rows)
    at_once = compiled_once(jax.vmap(lambda row: flat(subject(*row))))(stacked)
    one_by_one = jnp.stack([flat(subject.run(*row)) for row in rows])
    error = float(jnp.max(jnp.abs(at_once - one_by_one)))
    require(error < 1e-4, f"vmapped trees and strengths differ from a loop by {error:.1e}")
    return f"largest difference {error:.1e}"


def check_dtypes(subject: OperatorSubject) -> str:
    """The dtype of each array is kept, whatever the strengths have; infinite values come back."""
    for wide in (False, True):
        with jax.enable_x64(wide):
            for dtype in DTYPES:
                tree = subject.tree(dtype=dtype)
                kinds = (np.float64, functools.partial(jnp.asarray, dtype=jnp.float32))
                for kind in kinds:
                    example = jax.tree.map(kind, dict(subject.example))
                    value = jax.eval_shape(subject.__call__, tree, 1.0, example)
                    _check_like(value, tree, f" with {dtype.__name__} numbers")
    narrow = subject.tree(dtype=jnp.bfloat16)
    wide_value = subject(jax.tree.map(lambda x: x.astype(jnp.float32), narrow))
    same = np.array_equal(flat(subject(narrow)), flat(wide_value).astype(jnp.bfloat16))
    require(same, "bfloat16 numbers are not computed with in float32, and then rounded")
    return "kept"


def check_trees(subject: OperatorSubject) -> str:
    """Containers, None, masked places, empty trees."""
    if subject.bare:
        return "it takes one array: not promised"
    tree = subject.tree()
    odd = {"a": [tree["w"], None], "b": (tree, optax.MaskedNode()), "c": {}}
    if not subject.needs:
        odd["none"], odd["narrow"] = jnp.zeros((0, 3)), jnp.zeros(2, jnp.float16)
    value = subject(odd)
    same = jax.tree.structure(value) == jax.tree.structure(odd)
    require(same, "on an odd tree, its value is another tree")
    _check_like(value, odd, " on an odd tree")
    bare = tree["w"]
    _check_like(subject(bare), bare, " for a single array")
    for empty in ({}, (), None):
        require(subject(empty) == empty, f"an empty tree {empty!r} becomes {subject(empty)!r}")
    return "containers, None, masked, empty, a single array"


def check_strengths(subject: OperatorSubject) -> str:
    """Strengths may be trees, or arrays like those of the tree, if it is elementwise."""
    if not subject.traits.elementwise or not subject.numbers():
        return "one strength" if subject.numbers() else "no strength"
    tree, base = subject.tree(), flat(subject(subject.tree()))
    for which in subject.numbers():
        name, number = which[0], subject.number(which)
        for kind, value in {
            "a tree of numbers": jax.tree.map(lambda _, n=number: n, tree),
            "arrays": jax.tree.map(lambda x, n=number: jnp.full_like(x, n), tree),
        }.items():
            found = flat(subject(tree, 1.0, subject.with_number(which, value)))
            same = np.allclose(found, base, rtol=1e-6, atol=1e-7)
            require(same, f"{name} as {kind} gives other numbers than as one number")
        twice = jax.tree.map(lambda x, n=number: jnp.full_like(x, n), tree)
        twice["b"] = twice["b"].at[0].multiply(1.5)
        found = subject(tree, 1.0, subject.with_number(which, twice))["b"]
        alone = subject(tree["b"][:1], 1.0, subject.with_number(which, 1.5 * number))
        close = np.allclose(found[0], alone[0], rtol=1e-5, atol=1e-6)
        require(close, f"{name} of one entry does not act on that entry")
    return "numbers, trees, arrays"


def check_bad_input(subject: OperatorSubject) -> str:
    """Strengths out of range, other kinds of numbers and misspelt names say what is wrong."""
    tree = subject.tree()
    calls: list[tuple[str, Any, Callable[[Any], Any]]] = []
    for which in subject.numbers():
        name = which[0]
        for bad in (-1.0, float("nan")):
            call = functools.partial(_with_bad_number, subject, which)
            calls.append((name, bad, call))
    if subject.scales:
        calls += [("scaling", bad, lambda v: subject(tree, v)) for bad in (-1.0, float("nan"))]
    for name, bad, call in calls:
        try:
            call(bad)
        except ValueError as error:
            told = name in str(error) and ("NaN" in str(error) or f"{bad}" in str(error))
            told = told and ("NaN" in str(error) or "[" in str(error) or "(" in str(error))
            require(told, f"{name}={bad} raises without argument, value and bound: {error}")
        else:
            require(False, f"{name}={bad} is accepted")
    try:
        subject(jax.tree.map(lambda x: jnp.zeros(x.shape, jnp.int32), tree))
    except TypeError as error:
        require("int32" in str(error), f"integers raise without saying so: {error}")
    else:
        require(False, "integers are accepted")
    try:
        subject.function(tree, **subject.example, scalling=1.0)
    except TypeError as error:
        require("scalling" in str(error), f"a misspelt keyword raises without it: {error}")
    else:
        require(False, "a misspelt keyword is accepted")
    return "messages name argument, value and bound"


def _with_bad_number(subject: OperatorSubject, which: tuple[str, Any], bad: float) -> Any:
    return subject(subject.tree(), 1.0, subject.with_number(which, bad))


def check_complex(subject: OperatorSubject) -> str:
    """Complex numbers work where it is defined on them, and raise elsewhere."""
    tree = jax.tree.map(lambda x: x * (1 - 0.5j), subject.tree())
    try:
        value = subject.run(tree, 1.0)
    except (TypeError, ValueError) as error:
        require(not subject.traits.complex, f"it claims complex support but raises: {error}")
        require("complex" in str(error), f"complex numbers raise without saying so: {error}")
        return "complex numbers are refused"
    require(subject.traits.complex, "it denies complex support, but complex numbers do not raise")
    _check_like(value, tree, " of complex numbers")
    turned = flat(subject.run(jax.tree.map(lambda x: x * jnp.exp(0.7j), tree), 1.0))
    kept = "symmetric" in subject.needs or bool(
        jnp.allclose(turned, flat(value) * jnp.exp(0.7j), atol=1e-4)
    )
    require(kept or not subject.scales, "numbers that are turned do not give what is turned")
    return "complex numbers work"


def check_elementwise(subject: OperatorSubject) -> str:
    """Each number moves by itself alone, or else it is not claimed."""
    vector, unravel = ravel_pytree(subject.tree())
    base, spread = flat(subject.run(unravel(vector), 1.0)), 0.0
    for place in (0, vector.size - 1):
        for new in (5.0, 0.0):
            found = flat(subject.run(unravel(vector.at[place].set(new)), 1.0))
            spread = max(spread, float(jnp.max(jnp.abs(found - base).at[place].set(0))))
    if subject.traits.elementwise:
        require(spread == 0, "it claims to be elementwise, but one number moves others")
        return "numbers move alone"
    require(spread > 0, "it denies being elementwise, but no number feels another")
    return "numbers feel each other"


def check_smooth(subject: OperatorSubject) -> str:
    """It has no kink or jump along lines, or else one is documented."""
    with jax.enable_x64(True):
        found = roughness(lambda tree: flat(subject(tree)), subject.tree(dtype=jnp.float64))
    if subject.traits.smooth:
        require(not found, f"it claims to be smooth, but there is a kink or jump: {found}")
        require(not subject.traits.kinks, "it claims to be smooth and yet documents kinks")
        return "no kink on the lines tried"
    require(subject.traits.kinks, "it denies being smooth without saying where it is not")
    require(found, "it denies being smooth, but no kink or jump was found")
    return found


PROMISES: dict[str, Callable[[Any], str]] = {
    "it is an operator": check_protocol,
    "its value is optimal": _operator_numbers.check_optimal,
    "firmly non-expansive": _operator_numbers.check_convex,
    "a strength of zero changes nothing": _operator_numbers.check_zero,
    "every strength is consumed": _operator_numbers.check_consumed,
    "derivatives equal finite differences": _operator_numbers.check_derivatives,
    "derivatives are finite at zero": _operator_numbers.check_finite,
    "vmap equals a loop": check_vmap,
    "dtypes are kept": check_dtypes,
    "odd trees work": check_trees,
    "strengths as trees": check_strengths,
    "bad input is refused": check_bad_input,
    "complex numbers": check_complex,
    "elementwise": check_elementwise,
    "smooth": check_smooth,
}
"""Each promise of an operator, in plain words, and the function that checks it."""
