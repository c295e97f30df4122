"""The largest singular value by power iteration."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from gradlab import core


def power_start(x: jax.Array) -> jax.Array:
    """Vectors to begin `spectral_norm` with: unit length, the same for every run.

    Args:
      x: matrices, of shape `(..., m, n)`.

    Returns:
      Vectors of shape `(..., min(m, n))`, pseudo-random, so that they are orthogonal to
      the leading singular vector of none but made-up matrices.
    """
    size = min(x.shape[-2:])
    vector = np.random.default_rng(0).normal(size=size)
    vector = jnp.asarray(vector / np.linalg.norm(vector), x.dtype)
    return jnp.broadcast_to(vector, (*x.shape[:-2], size))


def spectral_norm(
    x: jax.Array, start: jax.Array | None = None, *, num_iters: int = 10
) -> tuple[jax.Array, jax.Array]:
    r"""The largest singular value of each matrix, from below.

    $$v \leftarrow \frac{A^* A v}{\lVert A^* A v \rVert},\quad
    \sigma = \lVert A v \rVert$$

    The derivative of σ is that of ‖A v‖ with v held constant, so that descent cannot lower σ by
    turning A away from the start. Derivatives of that derivative go through all iterations.

    Args:
      x: matrices A, of shape `(..., m, n)`; wide ones are transposed.
      start: vectors v, of shape `(..., min(m, n))`. None: `power_start`.
      num_iters: how often v is improved.

    Returns:
      The singular values, of shape `(...)`, and the last v. A zero matrix gives zero, with
      derivative zero, and leaves v as it is.
    """
    if x.shape[-1] > x.shape[-2]:
        x = _adjoint(x)

    def better(v: jax.Array, _: None) -> tuple[jax.Array, None]:
        u = _unit(_times(x, v), 0)
        return _unit(_times(_adjoint(x), u), v), None

    v, _ = lax.scan(better, power_start(x) if start is None else start, length=num_iters)
    return _gain(x, v), v


@jax.custom_jvp
def _gain(x: jax.Array, v: jax.Array) -> jax.Array:
    return core.norm(_times(x, v), axis=-1)


@_gain.defjvp
def _gain_jvp(primals: tuple, tangents: tuple) -> tuple:
    x, v = primals
    return jax.jvp(lambda x: core.norm(_times(x, v), axis=-1), (x,), tangents[:1])


def _adjoint(x: jax.Array) -> jax.Array:
    return jnp.swapaxes(x, -1, -2).conj()


def _times(x: jax.Array, v: jax.Array) -> jax.Array:
    return (x @ v[..., None])[..., 0]


def _unit(x: jax.Array, otherwise: jax.Array | int) -> jax.Array:
    """The direction of each vector; something else where there is none."""
    length = core.norm(x, axis=-1, keepdims=True)
    return jnp.where(length == 0, otherwise, core.divide(x, length.astype(x.dtype)))
