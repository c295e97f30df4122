"""The order in which a step writes its outputs.

Where a new moment and the update both read the old moment, XLA on CPU copies the moment,
because it may write the new one over the old one first. `written_after` says which of the
two comes first. It changes no bit.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from gradlab.core._fields import is_tracer
from gradlab.core._tree import is_none

_written_after = Primitive("gradlab_written_after")


def written_after(old: jax.Array, first: jax.Array) -> jax.Array:
    """`old`, bit for bit, but readable only once `first` has been computed.

    The compiled program is ordered only where that saves a copy: on CPU, on a single
    device, outside of `vmap` and of differentiation. Everywhere else this is the identity.

    Args:
      old: the value whose memory the step is going to reuse.
      first: the value that also reads `old` and has to be written before that.

    Returns:
      `old`.
    """
    if old.size == 0:
        return old
    return _written_after.bind(old, first)


def written_after_params(state: Any, fields: tuple[str, ...], updates: Any, params: Any) -> Any:
    """A state whose fields are written once the parameters have moved.

    Updates are read by whoever adds them to the parameters, and so the sum is what has to
    come before. Where it is not used for anything else, the compiler keeps one element of it.

    Args:
      state: a named tuple.
      fields: names of the fields, trees like `params`.
      updates: what the step adds to the parameters; None leaves order nothing.
      params: the parameters, or None.

    Returns:
      The state, bit for bit. Eagerly, where every result has memory of its own, it is
      the same object.
    """
    if params is None or not any(map(is_tracer, jax.tree.leaves(updates))):
        return state

    def leaf(update: Any, value: Any, p: Any) -> Any:
        return value if update is None else written_after(value, p + update)

    def tree(field: str) -> Any:
        return jax.tree.map(leaf, updates, getattr(state, field), params, is_leaf=is_none)

    return state._replace(**{field: tree(field) for field in fields})


def _identity(old: jax.Array, first: jax.Array) -> jax.Array:
    del first
    return old


def _ordered(old: jax.Array, first: jax.Array) -> jax.Array:
    # An array that is neither equal nor unequal to itself does not exist, but the
    # compiler does not know that of floats. The select always takes `old`.
    element = lax.slice(first, (0,) * first.ndim, (1,) * first.ndim).reshape(())
    element = jnp.real(element)
    always = (element == element) | (element != element)
    return lax.select(jnp.broadcast_to(always, old.shape), old, jnp.zeros_like(old))


def _lower_cpu(ctx: Any, old: Any, first: Any) -> Any:
    axis_context = ctx.module_context.axis_context
    single = getattr(axis_context, "num_devices", 1) == 1
    rule = mlir.lower_fun(_ordered if single else _identity, multiple_results=False)
    return rule(ctx, old, first)


def _batch(args: tuple, axes: tuple) -> tuple:
    return args[0], axes[0]


def _jvp(primals: tuple, tangents: tuple) -> tuple:
    return primals[0], tangents[0]


_written_after.def_impl(_identity)
_written_after.def_abstract_eval(lambda old, first: old)
mlir.register_lowering(_written_after, mlir.lower_fun(_identity, multiple_results=False))
mlir.register_lowering(_written_after, _lower_cpu, platform="cpu")
batching.primitive_batchers[_written_after] = _batch
ad.primitive_jvps[_written_after] = _jvp
