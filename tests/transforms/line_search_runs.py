"""What the tests of all line searches do alike: descent with one, step by step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import gradlab as gl
from gradlab.testing._subject import compiled_once

VALLEY = np.array([-1.2, 1.0, 0.5, 2.0], np.float32)


def valley(x: Any, shift: Any = 0.0) -> Any:
    """Rosenbrock's function, with waves."""
    curved = jnp.sum(10 * (x[1:] - x[:-1] ** 2) ** 2) + jnp.sum((1 - x[:-1] - shift) ** 2)
    return curved + jnp.sum(jnp.cos(3 * x))


def descend(
    opt: optax.GradientTransformation,
    x: Any,
    steps: int,
    fn: Callable[..., Any] = valley,
    reuse: bool = False,
    **extra: Any,
) -> tuple[Any, Any]:
    """Where each step led, and the states."""
    opt = optax.with_extra_args_support(opt)
    again = optax.value_and_grad_from_state(fn)

    def step(carry: Any, _: Any) -> tuple[Any, Any]:
        x, state = carry
        value, grad = (
            again(x, state=state, **extra) if reuse else jax.value_and_grad(fn)(x, **extra)
        )
        given = {"value": value, "grad": grad, "value_fn": fn, **extra}
        updates, state = opt.update(grad, state, x, **given)
        x = optax.apply_updates(x, updates)
        return (x, state), (x, state)

    return jax.lax.scan(step, (x, opt.init(x)), length=steps)[1]


def assert_is_optax(ours: Any, theirs: Any, steps: int = 50) -> None:
    """Behind gradient descent and behind L-BFGS: the same steps and states, to the last bit."""
    for direction in (
        optax.scale(-0.5),
        optax.chain(optax.scale_by_lbfgs(4), optax.scale(-1.0)),
    ):
        found, expected = (
            jax.jit(lambda x, opt=opt: descend(opt, x, steps))(jnp.asarray(VALLEY))
            for opt in (optax.chain(direction, ours), optax.chain(direction, theirs))
        )
        assert jax.tree.structure(found) == jax.tree.structure(expected)
        jax.tree.map(np.testing.assert_array_equal, found, expected)
        dtypes = [jax.tree.map(lambda x: x.dtype, states) for _, states in (found, expected)]
        assert dtypes[0] == dtypes[1]


def along(fn: Callable[[Any], Any], opt: Any, x: Any, update: Any) -> Any:
    """One step along an update, from a fresh state; the parameters, and the state."""
    value, grad = jax.value_and_grad(fn)(x)
    updates, state = opt.update(update, opt.init(x), x, value=value, grad=grad, value_fn=fn)
    return x + updates, state


def assert_steps_are_constants(opt: gl.Transform, steps: int = 6) -> None:
    """Derivatives by start and by what the objective depends on are those of frozen steps.

    Whether value and gradient are computed at each step or taken from the state.
    """
    direct = gl.chain(gl.sgd(1.0), opt)

    def end(x: Any, shift: Any, reuse: bool) -> Any:
        return valley(descend(direct, x, steps, reuse=reuse, shift=shift)[0][-1], shift)

    def frozen(x: Any, shift: Any) -> Any:
        states = descend(direct, x, steps, shift=shift)[1]
        rates = jax.lax.stop_gradient(states[1].learning_rate)
        for rate in rates:
            x = x - rate * jax.grad(valley)(x, shift)
        return valley(x, shift)

    with jax.enable_x64(True):
        point = jnp.asarray(VALLEY, jnp.float64), jnp.asarray(0.3)
        expected = compiled_once(jax.grad(frozen, (0, 1)))(*point)
        assert all(bool(jnp.all(jnp.abs(x) > 1e-6)) for x in jax.tree.leaves(expected))
        for reuse in (False, True):
            reverse = compiled_once(jax.grad(lambda *p, r=reuse: end(*p, r), (0, 1)))(*point)
            forward = compiled_once(jax.jacfwd(lambda *p, r=reuse: end(*p, r), (0, 1)))(*point)
            for found in (reverse, forward):
                jax.tree.map(
                    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-8), found, expected
                )
