"""Derivatives of the losses of several domains by the parameters of a head they share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from gradlab import core
from gradlab.regularizers import _leaves

Losses = Callable[[Any], Any]
"""From a head to an array of shape (domains,)."""


def check_losses(owner: str, head: Any, losses: Losses) -> None:
    """Raises where the head is complex or the losses are no vector."""
    if any(jnp.iscomplexobj(x) for x in jax.tree.leaves(head)):
        raise TypeError(f"{owner}: the head has complex parameters")
    values = jax.eval_shape(losses, head)
    if getattr(values, "ndim", None) != 1:
        raise ValueError(
            f"{owner}: losses(head) has to be an array of shape (domains,), one loss for each "
            f"domain; it is {values}"
        )


def hessians_times(losses: Losses, head: Any, tangent: Any) -> Any:
    """The Hessian of each domain times one tangent, stacked along the first axis."""
    return jax.jvp(jax.jacrev(losses), (head,), (tangent,))[1]


def hessian_gradient_products(losses: Losses, head: Any, gradients: Any) -> Any:
    """The Hessian of each domain times its own gradient."""
    products = jax.vmap(lambda tangent: hessians_times(losses, head, tangent))(gradients)
    return jax.tree.map(lambda x: x[(jnp.arange(x.shape[0]),) * 2], products)


def hessian_diagonals(losses: Losses, head: Any, key: jax.Array, samples: int) -> Any:
    """Hutchinson's estimate of the diagonal of each domain's Hessian, by the same random signs."""

    def sample(key: jax.Array) -> Any:
        signs = optax.tree.random_like(key, head, jax.random.rademacher)
        return jax.tree.map(jnp.multiply, hessians_times(losses, head, signs), signs)

    found = jax.vmap(sample)(jax.random.split(key, samples))
    return jax.tree.map(lambda x: jnp.mean(x, axis=0), found)


def spread(stacks: Any) -> jax.Array:
    """The mean over domains of squared distances from the mean over domains."""
    squares = [
        jnp.sum(core.abs_sq(x - jnp.mean(x, axis=0))) / x.shape[0] for x in jax.tree.leaves(stacks)
    ]
    return _leaves.total(1.0, squares)
