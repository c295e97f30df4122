"""The six functions of one number of Moré and Thuente, on which line searches go wrong.

Moré and Thuente, "Line search algorithms with guaranteed sufficient decrease", ACM TOMS 20(3),
1994, section 5. All of them fall at zero. `STARTS` are the first trial steps of their tables.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradlab.testing._subject import compiled_once

STARTS = (1e-3, 1e-1, 1e1, 1e3)


def first(a):
    return -a / (a**2 + 2)


def second(a):
    return (a + 0.004) ** 5 - 2 * (a + 0.004) ** 4


def third(a):
    b, waves = 0.01, 39
    inside = (a - 1) ** 2 / (2 * b) + b / 2
    valley = jnp.where(jnp.abs(a - 1) < b, inside, jnp.abs(a - 1))
    return valley + 2 * (1 - b) / (waves * jnp.pi) * jnp.sin(waves * jnp.pi / 2 * a)


def yanai(left, right):
    def scale(b):
        return (1 + b**2) ** 0.5 - b

    def function(a):
        falling = scale(left) * jnp.sqrt((1 - a) ** 2 + right**2)
        return falling + scale(right) * jnp.sqrt(a**2 + left**2)

    return function


FUNCTIONS = (first, second, third, yanai(1e-3, 1e-3), yanai(1e-2, 1e-3), yanai(1e-3, 1e-2))


def objective(x, which):
    return jax.lax.switch(which, FUNCTIONS, x)


slope_of = jax.vmap(jax.grad(objective))
value_of = jax.vmap(objective)


def searched(opt: Any) -> dict[str, Any]:
    """A search along each function from each start, in float64: what it found, as arrays."""
    which = np.repeat(np.arange(len(FUNCTIONS)), len(STARTS))
    start = np.tile(STARTS, len(FUNCTIONS))

    def one(which, start):
        state = opt.init(jnp.zeros(()))._replace(learning_rate=start)
        zero, value_and_grad = jnp.zeros(()), jax.value_and_grad(objective)
        value, grad = value_and_grad(zero, which)
        given = {"value": value, "grad": grad, "value_fn": objective, "which": which}
        return opt.update(jnp.ones(()), state, zero, **given)

    with jax.enable_x64(True):
        step, state = compiled_once(jax.vmap(one))(jnp.asarray(which), jnp.asarray(start))
        zero = jnp.zeros_like(step)
        found = {
            "step": step,
            "value": value_of(step, which),
            "slope": slope_of(step, which),
            "value at zero": value_of(zero, which),
            "slope at zero": slope_of(zero, which),
        }
        return {name: np.asarray(x) for name, x in found.items()} | {
            "info": jax.tree.map(np.asarray, state.info),
            "which": which,
            "start": start,
        }
