"""Gradients and curvatures of several domains' losses, and how far they are apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from gradlab import core
from gradlab.core import Params
from gradlab.regularizers import _leaves

Losses = Callable[[Params], jax.Array]
"""One loss for each domain, an array of shape `(domains,)`, from parameters."""


def times_hessians(losses: Losses, params: Params, tangent: Params) -> Any:
    """The Hessian of each domain's loss times one tangent, stacked."""
    return jax.jvp(jax.jacrev(losses), (params,), (tangent,))[1]


def hessian_gradient_products(losses: Losses, params: Params, gradients: Any) -> Any:
    """The Hessian of each domain's loss times that domain's gradient, stacked."""
    products = jax.vmap(lambda g: times_hessians(losses, params, g))(gradients)
    return jax.tree.map(lambda x: x[(jnp.arange(x.shape[0]),) * 2], products)


def hessian_diagonals(losses: Losses, params: Params, key: Any, samples: int) -> Any:
    """Estimates of each Hessian's diagonal, as means of r ⊙ H r over random signs, stacked."""

    def sample(key: jax.Array) -> Any:
        signs = optax.tree.random_like(key, params, jax.random.rademacher)
        return jax.tree.map(jnp.multiply, times_hessians(losses, params, signs), signs)

    found = jax.vmap(sample)(jax.random.split(key, samples))
    return jax.tree.map(lambda x: jnp.mean(x, axis=0), found)


def spread(stacks: Any) -> jax.Array:
    """The mean over domains of squared distances from the mean."""
    squares = [
        jnp.sum(core.abs_sq(x - jnp.mean(x, axis=0))) / x.shape[0] for x in jax.tree.leaves(stacks)
    ]
    return _leaves.total(1.0, squares)
