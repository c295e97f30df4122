"""Small games that are played by an optimizer.

A linear game is its matrix: the gradients of all players' losses are `game @ params`.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import gradlab as gl

BILINEAR = np.array([[0.0, 1.0], [-1.0, 0.0]])
"""min over x, max over y of x * y: the gradients are y and -x."""


def mixture(adversarial: float, players: int = 7, spread: float = 4.0) -> np.ndarray:
    """Pairs of coordinates from purely cooperative to adversarial up to a share.

    Each pair has its own curvature and its own share of competition, from none to
    `adversarial`: at 1 the last pair plays a bilinear game.
    """
    curvature = np.linspace(1 / spread, spread, players)
    share = np.linspace(0.0, adversarial, players)
    together, against = np.diag((1 - share) * curvature), np.diag(share * curvature)
    return np.block([[together, -against], [against, together]])


def distances(opt: Any, game: np.ndarray, steps: int, in_turn: bool = False) -> np.ndarray:
    """How far from the solution, zero, simultaneous steps are; in turn, one player's after
    the other's, each with an optimizer of its own."""
    opt = optax.with_extra_args_support(opt)
    matrix = jnp.asarray(game, jnp.float32)
    half = len(game) // 2
    parts = (slice(0, half), slice(half, None)) if in_turn else (slice(None),)

    def step(carry: Any, _: Any) -> tuple[Any, Any]:
        params, states = carry
        new = []
        for part, state in zip(parts, states, strict=True):
            updates, state = opt.update((matrix @ params)[part], state, params[part])
            params = params.at[part].add(updates)
            new.append(state)
        return (params, tuple(new)), jnp.linalg.norm(params)

    params = jnp.ones(len(game), jnp.float32)
    states = tuple(opt.init(params[part]) for part in parts)
    return np.asarray(jax.jit(lambda c: jax.lax.scan(step, c, length=steps)[1])((params, states)))


def spectral_radii(opts: list, game: np.ndarray) -> np.ndarray:
    """The largest factor by which a step enlarges parameters and state, of each optimizer.

    They are of one kind, and run as one program.
    """
    with jax.enable_x64(True):
        matrix = jnp.asarray(game)
        jacobians = jax.jit(jax.vmap(lambda opt: _jacobian(opt, matrix)))(gl.stack(opts))
    return np.abs(np.linalg.eigvals(np.asarray(jacobians))).max(-1)


def _jacobian(opt: Any, game: jax.Array) -> jax.Array:
    def step(carry: Any) -> Any:
        params, state = carry
        updates, state = opt.update(game @ params, state, params)
        return params + updates, state

    params = jnp.ones(len(game))
    start = step((params, opt.init(params)))  # what is special about a first step is over
    leaves, treedef = jax.tree.flatten(start)
    moving = [i for i, x in enumerate(leaves) if jnp.issubdtype(x.dtype, jnp.inexact)]
    pairs = [jnp.iscomplexobj(leaves[i]) for i in moving]

    def pack(carry: Any) -> jax.Array:
        arrays = [jax.tree.leaves(carry)[i] for i in moving]
        parts = [(x.real, x.imag) if c else (x,) for x, c in zip(arrays, pairs, strict=True)]
        return jnp.concatenate([x for part in parts for x in part])

    def unpack(z: jax.Array) -> Any:
        parts = iter(z.reshape(-1, len(game)))
        new = list(leaves)
        for i, c in zip(moving, pairs, strict=True):
            new[i] = jax.lax.complex(next(parts), next(parts)) if c else next(parts)
        return treedef.unflatten(new)

    return jax.jacfwd(lambda z: pack(step(unpack(z))))(pack(start))
