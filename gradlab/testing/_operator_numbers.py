"""The promises of an operator about its numbers: optimality, contraction, derivatives."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from gradlab.testing._failure import require
from gradlab.testing._operator_subject import OperatorSubject
from gradlab.testing._subject import compiled_once, flat

SCALINGS = (0.3, 1.0, 2.5)
SLACK = 1e-10
"""By how much float64 rounding may make an optimum look improvable, relative to one."""


def check_optimal(subject: OperatorSubject) -> str:
    """Nothing near its value, and nothing far, makes ½‖x − y‖² + scaling · h(y) smaller."""
    with jax.enable_x64(True):
        zero, unravel = ravel_pytree(subject.tree(dtype=jnp.float64))
        size, draw = zero.size, np.random.default_rng(5)
        noise = np.concatenate([draw.normal(size=(4 * size, size)), *(np.eye(size),) * 2])
        noise *= 10.0 ** -draw.integers(0, 6, size=(len(noise), 1))
        noise = _of_kind(subject, noise, unravel)

        def vectors(operand: jax.Array, scaling: Any) -> jax.Array:
            return ravel_pytree(subject(unravel(operand), scaling))[0]

        def objective(x: jax.Array, y: jax.Array, scaling: Any) -> jax.Array:
            h = subject.penalty(unravel(y), **subject.example)
            return jnp.sum((x - y) ** 2) / 2 + jnp.where(jnp.isinf(h), h, scaling * h)

        @compiled_once
        def excess(x: jax.Array, scaling: Any) -> jax.Array:
            y = vectors(x, scaling)
            moved = y + jnp.asarray(noise)
            there = jax.vmap(vectors, (0, None))(x + moved - y, scaling)
            one_of_x = jnp.where(jnp.eye(size, dtype=bool), x, y)
            one_zero = jnp.where(jnp.eye(size, dtype=bool), 0, y)
            tried = [moved, 2 * y - moved, there, one_of_x, one_zero, jnp.stack([x, 0 * x])]
            values = jax.vmap(objective, (None, 0, None))(x, jnp.concatenate(tried), scaling)
            own = objective(x, y, scaling)
            return (own - jnp.min(values)) / (1 + jnp.abs(own))

        worst = 0.0
        for seed, scale in enumerate((0.3, 1.0, 1.0, 3.0)):
            for scaling in SCALINGS if subject.scales else (1.0,):
                x = ravel_pytree(subject.tree(seed, scale, jnp.float64))[0]
                found = float(excess(x, scaling))
                require(
                    found <= SLACK,  # false where it is no number
                    f"for scaling {scaling} and numbers of size {scale} something else makes "
                    f"½|x - y|² + scaling h(y) smaller by {found:.1e}",
                )
                worst = max(worst, found)
    return f"nothing is better by more than {worst:.0e}"


def _of_kind(subject: OperatorSubject, rows: np.ndarray, unravel: Any) -> np.ndarray:
    """Perturbations that keep the argument of its kind: symmetric ones of a symmetric matrix."""
    if "symmetric" not in subject.needs:
        return rows
    symmetric = [jax.tree.map(lambda x: x + jnp.swapaxes(x, -1, -2), unravel(row)) for row in rows]
    return np.stack([np.asarray(ravel_pytree(tree)[0]) for tree in symmetric])


def check_convex(subject: OperatorSubject) -> str:
    """It is firmly non-expansive, or else two points are shown that it takes apart."""
    with jax.enable_x64(True):
        slope, unravel = ravel_pytree(subject.tree(1, 1.0, jnp.float64))
        offset = ravel_pytree(subject.tree(2, 0.3, jnp.float64))[0]
        line = offset + np.linspace(-3, 3, 401)[:, None] * np.asarray(slope)
        run = compiled_once(jax.vmap(lambda x: ravel_pytree(subject(unravel(x)))[0]))
        x, y = np.asarray(line), np.asarray(run(jnp.asarray(line)))
    margin = np.inf
    for stride in (1, 7, 100):
        dx, dy = x[stride:] - x[:-stride], y[stride:] - y[:-stride]
        firm = np.sum(dy * (dx - dy), axis=1) / np.sum(dx * dx, axis=1)
        margin = min(margin, float(firm.min()))
    if not subject.traits.expansive:
        require(margin >= -1e-8, f"it claims to be firmly non-expansive, but misses by {-margin}")
        return f"firmly non-expansive, by {margin:.1e} at least"
    require(margin < -1e-6, "it says that it is expansive, but no two points show it")
    return f"not firmly non-expansive: {margin:.1e}"


def check_zero(subject: OperatorSubject) -> str:
    """A scaling or strength of zero changes nothing where the penalty is finite."""
    if not subject.scales:
        return "a projection: nothing to scale"
    drawn = subject.tree()
    positive = jax.tree.map(lambda x: jnp.abs(x) + 0.1, drawn)
    defined = [
        tree for tree in (drawn, positive) if jnp.isfinite(subject.penalty(tree, **subject.example))
    ]
    require(defined, "its penalty is finite for none of the trees tried")
    for tree in defined:
        values = [subject.run(tree, 0.0)]
        for which in subject.numbers()[:1]:
            values.append(subject.run(tree, 1.0, subject.with_number(which, 0.0)))
        for value in values:
            error = float(jnp.max(jnp.abs(flat(tree) - flat(value))))
            require(error < 1e-5, f"with a strength of zero it moves numbers by {error:.1e}")
    return "the identity"


def check_consumed(subject: OperatorSubject) -> str:
    """The scaling and every strength have an effect."""
    if not subject.numbers():
        return "no strength"
    tree = subject.tree()
    value = flat(subject.run(tree, 1.0))
    others = {"scaling": subject.run(tree, 2.0)} if subject.scales else {}
    for which in subject.numbers():
        changed = subject.with_number(which, 3 * subject.number(which))
        others[which[0]] = subject.run(tree, 1.0, changed)
        same = np.array_equal(value, flat(others[which[0]]))
        require(not same, f"{which[0]} has no effect: another value gives the same numbers")
    same = subject.scales and np.array_equal(value, flat(others["scaling"]))
    require(not same, "the scaling has no effect")
    return "each has an effect"


def check_derivatives(subject: OperatorSubject) -> str:
    """Derivatives by tree, strengths and scaling equal central differences in float64."""
    worst = 0.0
    for seed, scale in enumerate((0.3, 1.0, 3.0)):
        wanted, *modes = slopes(subject, 10 + seed, scale)
        for mode, found in zip(("forward", "reverse"), modes, strict=True):
            error = float(np.max(np.abs(found - wanted) / (1 + np.abs(wanted))))
            require(
                error < 1e-6,
                f"for numbers of size {scale} the {mode}-mode derivative is {found}, "
                f"the difference {wanted}",
            )
            worst = max(worst, error)
    return f"largest difference {worst:.0e}"


def slopes(subject: OperatorSubject, seed: int, scale: float) -> tuple[np.ndarray, ...]:
    """Derivatives of a sum of its numbers: differences, and those of forward and reverse mode.

    One along a direction of each of `parts`, in alphabetical order.
    """
    with jax.enable_x64(True):
        numbers = subject.as_arrays(jnp.float64)
        tree, scaling = subject.tree(seed, scale, jnp.float64), jnp.float64(0.7)
        found = _slopes(subject)({"tree": tree, "scaling": scaling, **numbers})
    return tuple(map(np.asarray, found))


@functools.lru_cache(maxsize=4)
def _slopes(subject: OperatorSubject) -> Any:
    def value(parts: Any) -> jax.Array:
        numbers = {name: parts[name] for name in subject.example}
        y = flat(subject(parts["tree"], parts["scaling"], numbers))
        return jnp.sum(y * jnp.cos(1 + jnp.arange(y.size)))

    @compiled_once
    def differs(parts: Any) -> Any:
        point, unravel = ravel_pytree(parts)
        sizes = [ravel_pytree(parts[name])[0].size for name in sorted(parts)]
        owner = np.repeat(np.arange(len(sizes)), sizes)
        drawn, h = jax.random.normal(jax.random.PRNGKey(0), point.shape), 1e-6

        def at(point: jax.Array) -> jax.Array:
            return value(unravel(point))

        def along(i: Any) -> Any:
            d = jnp.where(owner == i, drawn, 0)
            difference = (at(point + h * d) - at(point - h * d)) / (2 * h)
            return difference, jax.jvp(at, (point,), (d,))[1], jax.grad(at)(point) @ d

        return jax.vmap(along)(jnp.arange(len(sizes)))

    return differs


def check_finite(subject: OperatorSubject) -> str:
    """At zero, for equal numbers, at thresholds: values and derivatives are finite."""
    tree, example = subject.tree(), subject.as_arrays(jnp.float32)
    size = max([float(jnp.max(jnp.abs(x))) for x in jax.tree.leaves(example)], default=1.0)

    def value(tree: Any, example: Any, scaling: Any) -> jax.Array:
        return jnp.sum(jnp.sin(flat(subject(tree, scaling, example))))

    @compiled_once
    def derivatives(*point: Any) -> Any:
        forward = jax.jvp(value, point, jax.tree.map(jnp.ones_like, point))
        return {"value or forward-mode derivative": forward} | {
            "reverse-mode derivative": jax.grad(value, argnums=(0, 1, 2))(*point)
        }

    places = {
        "all numbers are zero": jax.tree.map(jnp.zeros_like, tree),
        "all numbers are equal": jax.tree.map(jnp.ones_like, tree),
        "numbers are at a threshold": jax.tree.map(lambda x: 0 * x + size, tree),
        "matrices are the identity": jax.tree.map(
            lambda x: jnp.broadcast_to(jnp.eye(*x.shape[-2:]), x.shape) if x.ndim > 1 else x, tree
        ),
        "one row is zero": jax.tree.map(lambda x: x.at[..., :1].set(0) if x.ndim else x, tree),
    }
    for where, point in places.items():
        for scaling in (1.0, 0.0):
            for kind, found in derivatives(point, example, jnp.float32(scaling)).items():
                finite = all(bool(jnp.all(jnp.isfinite(x))) for x in jax.tree.leaves(found))
                require(finite, f"where {where}, with scaling {scaling}, its {kind} is not finite")
    return "finite in both modes"
