"""What a solver comes by on its way."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from gradlab.testing._subject import compiled_once


def iterates(solver, fn, x, steps):
    """The points after 1, 2, … steps, stacked, and what the solver keeps there."""

    def run(x):
        state, _ = solver.observed(fn, x, solver.first(fn, x))

        def step(carry, _):
            x, state = solver.moved(fn, *carry)
            state, error = solver.observed(fn, x, state)
            return (x, state), (x, state, error)

        return jax.lax.scan(step, (x, state), None, length=steps)[1]

    return compiled_once(run)(jax.tree.map(jnp.asarray, x))
