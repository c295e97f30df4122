"""Copies of parameters that are kept as averages."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gradlab import core
from gradlab.core import DType, Params


def started_at(params: Params, dtype: DType | None = None) -> Any:
    """The parameters in buffers of their own, in the dtype of an average.

    Args:
      params: the parameters.
      dtype: the dtype to keep them in. None: the parameter's, and float32 for parameters of
        fewer than 32 bits.

    Returns:
      A tree like `params`.
    """
    zeros = core.moments_like(params, dtype)
    return jax.tree.map(lambda zero, p: zero + jnp.asarray(p, zero.dtype), zeros, params)


def as_params(tree: Any, params: Params) -> Params:
    """What is kept in the dtype of an average, in the dtypes of the parameters."""
    return jax.tree.map(lambda x, p: jnp.asarray(x, jnp.result_type(p)), tree, params)
