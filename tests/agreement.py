"""Whether a method gives the numbers of its paper, of other people's code, and of optax.

All comparisons are open loop: both sides are fed the same stored gradients, whatever the
parameters do, and updates and state are compared at every step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradlab as gl
from gradlab.testing._subject import compiled_once
from tests.paper import transcription
from tests.reference.load import Curve

STEPS = 60


def gradient_sequence(shape: tuple[int, ...] = (12,), steps: int = STEPS) -> np.ndarray:
    """Gradients of many sizes: coordinates that are zero, that wake up, pauses, a spike."""
    draw = np.random.default_rng([7, *shape])
    scale = 10.0 ** draw.uniform(-3, 1, shape)
    values = scale * (0.5 * draw.normal(size=shape) + draw.normal(size=(steps, *shape)))
    flat = values.reshape(steps, -1)
    flat[:, 0] = 0.0
    flat[:5, -1] = 0.0
    flat[20:23] = 0.0
    flat[30] *= 10.0
    return values


def start(shape: tuple[int, ...] = (12,)) -> np.ndarray:
    """Initial parameters for `gradient_sequence`."""
    return np.random.default_rng([8, *shape]).normal(size=shape)


def open_loop(
    opt: optax.GradientTransformation,
    gradients: Any,
    params: Any,
    jit: Callable[..., Any] = jax.jit,
) -> tuple[Any, Any]:
    """Updates and states of every step, from one compiled scan."""
    opt = optax.with_extra_args_support(opt)

    def step(carry: Any, gradient: Any) -> tuple[Any, Any]:
        params, state = carry
        updates, state = opt.update(gradient, state, params)
        return (optax.apply_updates(params, updates), state), (updates, state)

    carry = params, opt.init(params)
    return jit(lambda c, g: jax.lax.scan(step, c, g)[1])(carry, gradients)


def state_fields(state: Any) -> dict[str, Any]:
    """The arrays of a state by the name of their field, however deep it lies."""
    found: dict[str, Any] = {}
    for part in state if isinstance(state, tuple) else ():
        found |= state_fields(part)
    for name in getattr(state, "_fields", ()):
        value = getattr(state, name)
        if isinstance(value, jax.Array):
            found[name] = np.asarray(value)
    return found


def _assert_same(updates: Any, states: Any, expected: Any, fields: dict, **tolerance: float):
    np.testing.assert_allclose(updates, expected, err_msg="updates", **tolerance)
    ours = state_fields(states)
    for name, values in fields.items():
        np.testing.assert_allclose(ours[name], values, err_msg=f"state {name}", **tolerance)


def assert_matches_paper(
    opt: gl.Transform,
    method: str | Callable[..., Any],
    *,
    shape: tuple[int, ...] = (12,),
    rtol: float = 1e-10,
    atol: float = 1e-13,
    **settings: Any,
) -> None:
    """The transcription of the paper, in float64, gives the same updates and states.

    `method` is the name of a module of `tests.paper`, or a transcription itself.
    """
    gradients, x = gradient_sequence(shape), start(shape)
    paper = transcription(method) if isinstance(method, str) else method
    rows = list(paper(gradients, x, **settings))
    expected = np.stack([update for update, _ in rows])
    fields = {name: np.stack([state[name] for _, state in rows]) for name in rows[0][1]}
    with jax.enable_x64(True):
        given = jnp.asarray(gradients), jnp.asarray(x)
        updates, states = open_loop(opt, *given, jit=compiled_once)
    _assert_same(updates, states, expected, fields, rtol=rtol, atol=atol)


def assert_matches_reference(opt: gl.Transform, curve: Curve) -> None:
    """A stored trajectory of another package gives the same updates and states.

    Where the package is known to depart from the paper, it has to differ.
    """
    with jax.enable_x64(curve.dtype == "float64"):
        given = jnp.asarray(curve.gradients), jnp.asarray(curve.params)
        updates, states = open_loop(opt, *given, jit=compiled_once)
    known = state_fields(states)
    fields = {name: values for name, values in curve.states.items() if name in known}
    tolerance = {"rtol": curve.rtol, "atol": max(curve.atol, 1e-14)}
    if curve.agrees:
        assert set(curve.states) <= set(known), f"{curve.name} has states that are not ours"
        _assert_same(updates, states, curve.updates, fields, **tolerance)
        return
    with pytest.raises(AssertionError):
        _assert_same(updates, states, curve.updates, {}, **tolerance)


def parameter_tree() -> dict[str, Any]:
    """Float32 parameters with a matrix, a vector, and a scalar."""
    return {
        "kernel": jnp.asarray(start((4, 3)), jnp.float32),
        "layer": {"bias": jnp.asarray(start((5,)), jnp.float32), "gain": jnp.float32(0.5)},
    }


def assert_matches_optax(
    make_ours: Callable[..., gl.Transform],
    make_theirs: Callable[..., optax.GradientTransformation],
    settings: Iterable[dict[str, Any]],
    *,
    rtol: float = 1e-6,
    eager: bool = True,
) -> None:
    """Over 100 float32 steps under jit, optax gives the same, and with the first settings
    over three steps without.

    Coordinate by coordinate; a tenth of the tolerance on the largest entry of the array
    covers sums that cancel.
    """
    params = parameter_tree()
    gradients = jax.tree.map(
        lambda p: jnp.asarray(gradient_sequence(p.shape, 100), jnp.float32), params
    )
    for i, arguments in enumerate(settings):
        ours, theirs = make_ours(**arguments), make_theirs(**arguments)
        mine, other = open_loop(ours, gradients, params), open_loop(theirs, gradients, params)
        _assert_close(mine, other, rtol, f"{ours!r} under jit")
        if i > 0 or not eager:
            continue
        state, their_state = ours.init(params), theirs.init(params)
        for t in range(3):
            gradient = jax.tree.map(lambda g, t=t: g[t + 19], gradients)
            updates, state = ours.update(gradient, state, params)
            their_updates, their_state = theirs.update(gradient, their_state, params)
            _assert_close(
                (updates, state), (their_updates, their_state), rtol, f"{ours!r}, eagerly"
            )


def _assert_close(mine: Any, other: Any, rtol: float, what: str) -> None:
    assert jax.tree.structure(mine) == jax.tree.structure(other), f"{what}: other structure"
    for (path, a), b in zip(
        jax.tree_util.tree_leaves_with_path(mine), jax.tree.leaves(other), strict=True
    ):
        where = f"{what}{jax.tree_util.keystr(path)}"
        if jnp.issubdtype(b.dtype, jax.dtypes.prng_key):
            b = jax.random.key_data(b)
        assert (a.shape, a.dtype) == (b.shape, b.dtype), where
        scale = np.max(np.abs(b), initial=0.0)
        np.testing.assert_allclose(a, b, rtol=rtol, atol=0.1 * rtol * scale, err_msg=where)


def assert_same_numbers(one: gl.Transform, other: gl.Transform, rtol: float = 1e-10) -> None:
    """Two optimizers give the same updates in float64: one of them contains the other."""
    with jax.enable_x64(True):
        gradients, params = jnp.asarray(gradient_sequence()), jnp.asarray(start())
        first, second = (
            open_loop(opt, gradients, params, jit=compiled_once)[0] for opt in (one, other)
        )
    np.testing.assert_allclose(first, second, rtol=rtol, atol=1e-13)
