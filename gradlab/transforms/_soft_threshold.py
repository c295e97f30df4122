"""Soft thresholds of weights, and how the gradients of what they prune fade."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp

from gradlab import core

DECAYS = ("sigmoid_cosine", "cosine", "sigmoid")


def annealing(t: jax.Array, decay: str) -> jax.Array:
    """What is left of a number when the part t of the time is over; nothing from one on."""
    cosine, sigmoid = (1 + jnp.cos(math.pi * t)) / 2, jax.nn.sigmoid(6 - 12 * t)
    both = {"cosine": cosine, "sigmoid": sigmoid, "sigmoid_cosine": jnp.maximum(cosine, sigmoid)}
    return jnp.where(t < 1, both[decay], 0)


def soft_threshold(p: Any, s: jax.Array, pruned: bool) -> Any:
    """Weights nearer to zero by the sigmoid of s, in their dtype; zero below it."""
    if not pruned:
        return p
    wide = jnp.asarray(p, core.compute_dtype(p))
    return jnp.asarray(core.soft_threshold(wide, jax.nn.sigmoid(s)), p.dtype)
