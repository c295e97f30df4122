"""The pieces on which a signal with little variation is constant."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax


@jax.jit  # outside of a program, too: its loop would be compiled anew at every call
def total_variation_prox(x: jax.Array, strength: Any) -> jax.Array:
    """The minimiser of ½‖x − y‖² + strength · Σ |yᵢ₊₁ − yᵢ|, exactly.

    Args:
      x: a signal, of shape `(n,)`, real.
      strength: not negative, a scalar.

    Returns:
      The signal y. Its derivative is that for the same pieces being constant.
    """
    n = x.size
    if n < 2:
        return x
    starts, values = _pieces(lax.stop_gradient(x), lax.stop_gradient(strength))
    piece = jnp.cumsum(starts) - 1
    found = values[lax.cummax(jnp.where(starts, jnp.arange(n), 0))]
    # The sum of a piece moves by the strength, up or down, for each neighbour.
    rise = jnp.sign(jnp.diff(found))
    pull = jnp.diff(jnp.concatenate([jnp.zeros(1, x.dtype), rise, jnp.zeros(1, x.dtype)]))
    ones = jnp.ones_like(x)
    sums = (jax.ops.segment_sum(part, piece, n) for part in (x + strength * pull, ones))
    total, length = sums
    return (total / jnp.maximum(length, 1))[piece]


class _Search(NamedTuple):
    """Where the search is, in the names of Condat's paper; `starts` and `values` say the pieces."""

    k: Any
    first: Any
    lower_end: Any
    upper_end: Any
    v_min: Any
    v_max: Any
    u_min: Any
    u_max: Any
    starts: Any
    values: Any
    done: Any


def _pieces(y: jax.Array, strength: Any) -> tuple[jax.Array, jax.Array]:
    """Where pieces start, and at these places their values, by Condat's direct algorithm."""
    n, lam = y.size, jnp.asarray(strength, y.dtype)
    zero = jnp.int32(0)
    start = _Search(
        zero, zero, zero, zero, y[0] - lam, y[0] + lam, lam, -lam,
        jnp.zeros(n, bool), y, jnp.asarray(False),
    )  # fmt: skip

    def ended(s: _Search, value: Any) -> _Search:
        starts = s.starts.at[s.first].set(True)
        return s._replace(starts=starts, values=s.values.at[s.first].set(value))

    def lowered(s: _Search) -> _Search:
        """A piece ends where the lower bound last touched; the next one is below it."""
        k, s = s.lower_end + 1, ended(s, s.v_min)
        last = s.k == n - 1
        v_max = jnp.where(last, s.v_max, y[k] + 2 * lam)
        u_max = jnp.where(last, y[k] + lam - s.v_max, -lam)
        upper = jnp.where(last, s.upper_end, k)
        return s._replace(
            k=k, first=k, lower_end=k, upper_end=upper,
            v_min=y[k], v_max=v_max, u_min=lam, u_max=u_max,
        )  # fmt: skip

    def raised(s: _Search) -> _Search:
        """The same above."""
        k, s = s.upper_end + 1, ended(s, s.v_max)
        last = s.k == n - 1
        v_min = jnp.where(last, s.v_min, y[k] - 2 * lam)
        u_min = jnp.where(last, y[k] - lam - s.v_min, lam)
        lower = jnp.where(last, s.lower_end, k)
        return s._replace(
            k=k, first=k, lower_end=lower, upper_end=k,
            v_min=v_min, v_max=y[k], u_min=u_min, u_max=-lam,
        )  # fmt: skip

    def extended(s: _Search) -> _Search:
        """The piece goes on; its bounds close where they have to."""
        k = s.k + 1
        u_min, u_max = s.u_min + y[k] - s.v_min, s.u_max + y[k] - s.v_max
        length = (k - s.first + 1).astype(y.dtype)
        low, high = u_min >= lam, u_max <= -lam
        return s._replace(
            k=k,
            v_min=jnp.where(low, s.v_min + (u_min - lam) / length, s.v_min),
            v_max=jnp.where(high, s.v_max + (u_max + lam) / length, s.v_max),
            u_min=jnp.where(low, lam, u_min),
            u_max=jnp.where(high, -lam, u_max),
            lower_end=jnp.where(low, k, s.lower_end),
            upper_end=jnp.where(high, k, s.upper_end),
        )

    def finished(s: _Search) -> _Search:
        value = s.v_min + s.u_min / (s.k - s.first + 1).astype(y.dtype)
        return ended(s, value)._replace(done=jnp.asarray(True))

    def step(s: _Search) -> _Search:
        last, after = s.k == n - 1, y[jnp.minimum(s.k + 1, n - 1)]
        down = jnp.where(last, s.u_min < 0, after + s.u_min < s.v_min - lam)
        up = jnp.where(last, s.u_max > 0, after + s.u_max > s.v_max + lam)
        which = jnp.where(down, 0, jnp.where(up, 1, jnp.where(last, 3, 2)))
        return lax.switch(which, (lowered, raised, extended, finished), s)

    # Numbers that are not finite would never end it.
    bad = ~jnp.all(jnp.isfinite(y)) | ~jnp.isfinite(lam)
    end = lax.while_loop(lambda s: ~s.done, step, start._replace(done=bad))
    return jnp.where(bad, True, end.starts), end.values
