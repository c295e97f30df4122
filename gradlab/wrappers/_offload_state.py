"""State kept in the host's memory between the steps of any optimizer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import optax
from jax.tree_util import tree_map_with_path

from gradlab import core
from gradlab.core import ParameterPaths, Params, Updates, static

HOST = "pinned_host"


class OffloadStateState(NamedTuple):
    """State of `offload_state`.

    Attributes:
      inner_state: that of the inner optimizer, part of it in the host's memory.
    """

    inner_state: Any


def _names(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        raise TypeError("expected several names")
    return tuple(map(str, value))


class OffloadState(core.Wrapper):
    """Fetches the state, steps, and puts it back."""

    fields: tuple[str, ...] | None = static(convert=core.optional(_names))

    def init(self, params: Params) -> OffloadStateState:
        check_host_memory(self.owner(), jax.devices()[0])
        state = self.inner.rule.init(params)
        known = sorted(ParameterPaths(params).fields(state))
        for name in self.fields or ():
            if jax.tree.leaves(params) and name not in known:
                what = core.unknown("field of the inner state", name, known)
                raise ValueError(f"{self.owner()}: fields={self.fields!r}: {what}")
        return OffloadStateState(self.moved(state, params, jax.memory.Space.Host))

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, OffloadStateState]:
        like = updates if params is None else params
        here = self.moved(state.inner_state, like, jax.memory.Space.Device)
        updates, new = self.inner.rule.update(updates, here, params, **extra)
        new = core.keep_dtypes(new, here)
        return updates, OffloadStateState(self.moved(new, like, jax.memory.Space.Host))

    def moved(self, state: Any, params: Params, space: Any) -> Any:
        """The state with the arrays of parameters in a memory."""
        find = ParameterPaths(params).find

        def leaf(path: Any, x: jax.Array) -> jax.Array:
            found = find(path, x.shape)
            if found is None or (self.fields is not None and found.field not in self.fields):
                return x
            # The source is said so that the derivative goes back to where the array was.
            other = ({jax.memory.Space.Host, jax.memory.Space.Device} - {space}).pop()
            return jax.device_put(x, space, src=other)

        return tree_map_with_path(leaf, state)

    def in_order(self, state: Any, updates: Updates, params: Params | None) -> Any:
        del updates, params  # the step reads copies
        return state

    def eval_params(self, state: Any, params: Params) -> Params:
        here = self.moved(state.inner_state, params, jax.memory.Space.Device)
        return self.inner.rule.eval_params(here, params)


def check_host_memory(owner: str, device: Any) -> None:
    """Refuses devices that cannot keep arrays in the host's memory.

    Raises:
      ValueError: there is no such memory; the message names the backend.
    """
    kinds = [memory.kind for memory in device.addressable_memories()]
    if HOST not in kinds:
        raise ValueError(
            f"{owner}: {device.platform} devices have no {HOST} memory, only {', '.join(kinds)}"
        )


@core.builds(OffloadState)
def offload_state(inner: optax.GradientTransformation, fields: Sequence[str] | None = None):
    r"""Keeps the state of any optimizer in the host's memory between its steps.

    $$s = \mathrm{fetch}(s_\mathrm{host}),\quad (u, s') = \mathrm{inner}(g, s),\quad
    s_\mathrm{host} \leftarrow \mathrm{put}(s')$$

    No number changes; a step takes the time of two copies more. What is put there are arrays
    that belong to a parameter: their path in the state ends with its path, and they have its
    shape.

    Args:
      inner: any optimizer, of gradlab or optax.
      fields: names of fields of the state, such as `("mu", "nu")`, that are put there. None: all.

    Returns:
      The optimizer. State: that of `inner`; in the device's memory only what belongs to no
      parameter or to other fields.

    Raises:
      TypeError: `inner` is no transformation, or `fields` is one name.
      ValueError: from `init`, a device without such memory, or a field that the state does not
        have.

    References:
      Ren, Rajbhandari, Aminabadi, Ruwase, Yang, Zhang, Li and He, "ZeRO-Offload: Democratizing
      Billion-Scale Model Training", arXiv:2101.06840, section 4.

    Differs:
      The paper steps on the host, where the state stays. Here the device steps, and the state
      comes and goes. JAX 0.10 takes no derivatives of a scan that carries arrays in the host's
      memory, so this is no entry of the catalogue: for hypergradients, train with `inner`.
      Where a step is donated its state, it has to be donated its parameters, too: else XLA may
      give the memory of the host to the updates, and stop the process.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> state = gl.offload_state(gl.adam(0.1)).init(jnp.ones(3))
      >>> state.inner_state[0].mu.sharding.memory_kind
      'pinned_host'
    """
