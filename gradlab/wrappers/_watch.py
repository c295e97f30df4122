"""What a training loop wants to see of every step, kept in the state."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from gradlab import core
from gradlab.core import Params, Updates, static
from gradlab.optimizers.momentum import sgd

EVERYTHING = "all"
"""The only group where none are given."""


class WatchState(NamedTuple):
    """State of `watch`: what was measured at the latest step, and how often it was not finite.

    Attributes:
      gradient_norm: of the gradient that came in, a scalar.
      clipped_gradient_norm: of the gradient behind the last link that clips.
      update_norms: of what is added to the parameters, a dict from group to scalar.
      param_norms: of the parameters before the step, a dict from group to scalar.
      nonfinite: numbers of the gradient that are not finite.
      nonfinite_steps: steps so far whose gradient was not finite.
      inner_state: that of the inner optimizer.
    """

    gradient_norm: Any
    clipped_gradient_norm: Any
    update_norms: Any
    param_norms: Any
    nonfinite: Any
    nonfinite_steps: Any
    inner_state: Any


class Watch(core.Wrapper):
    """Measures gradients, steps and parameters, and changes nothing."""

    groups: Any = static()
    active: bool = static(default=True, convert=core.flag)

    def present(self) -> core.Transform:
        return super().present() if self.active else self.inner

    def init(self, params: Params) -> WatchState:
        def nothing() -> jax.Array:
            return jnp.zeros([], jnp.float32)

        labels = self.parts(params)
        norms = {label: nothing() for label in labels}, {label: nothing() for label in labels}
        counts = core.step_count(), core.step_count()
        return WatchState(nothing(), nothing(), *norms, *counts, self.inner.rule.init(params))

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, WatchState]:
        params = self.needed(params)
        steps, inner_state, clipped = self.inner.rule.clipped_update(
            updates, state.inner_state, params, **extra
        )
        norm = _norm(updates)
        broken = _nonfinite(updates)
        total = state.nonfinite_steps
        sizes = {label: _norm(part) for label, part in self.parts(params).items()}
        moves = {label: _norm(part) for label, part in self.parts(steps).items()}
        read = sum(sizes.values(), jnp.zeros([]))
        steps = jax.tree.map(lambda u: core.written_after(u, read), steps)
        return steps, WatchState(
            gradient_norm=norm,
            clipped_gradient_norm=norm if clipped is None else clipped.astype(norm.dtype),
            update_norms=moves,
            param_norms=sizes,
            nonfinite=broken,
            nonfinite_steps=jnp.where(broken > 0, optax.safe_increment(total), total),
            inner_state=inner_state,
        )

    def parts(self, tree: Any) -> dict[Any, Any]:
        """The tree by group, in which what belongs to others is masked."""
        if self.groups is None:
            return {EVERYTHING: tree}
        groups = core.groups_of("watch", "groups", self.groups, tree)
        labels = dict.fromkeys(owner for owner in groups.owners if owner is not None)
        return {label: groups.pick(label, tree) for label in labels}

    def measurements(self, state: Any) -> dict[str, Any]:
        ratios = {
            label: core.divide(norm, state.param_norms[label])
            for label, norm in state.update_norms.items()
        }
        own = {name: getattr(state, name) for name in WatchState._fields[:-1]}
        return super().measurements(state) | own | {"update_ratios": ratios}


def _norm(tree: Any) -> jax.Array:
    return core.global_norm(tree).astype(jnp.float32)


def _nonfinite(updates: Updates) -> jax.Array:
    counts = (jnp.sum(~jnp.isfinite(x), dtype=jnp.int32) for x in jax.tree.leaves(updates))
    return sum(counts, core.step_count())


@core.builds(Watch)
def watch(inner: optax.GradientTransformation, groups: Any = None, *, active: bool = True):
    r"""Keeps the norms of gradients, steps and parameters of the latest step in the state.

    $$\lVert g\rVert,\quad \lVert \mathrm{clip}(g)\rVert,\quad
    \lVert u_k\rVert / \lVert\theta_k\rVert\ \text{for each group}\ k$$

    The steps are those of `inner`, bit for bit. `gl.measurements(opt, state)` reads what was
    measured, beside what other parts of the optimizer count, such as steps left out.

    Args:
      inner: the optimizer. What a chain in it clips is seen; what a wrapper around that chain
        changes before is not.
      groups: a tree of labels, or a function from parameters to one, such as `gl.by_path`
        makes; a label stands for everything below it. None: one group, `"all"`.
      active: with False this is `inner` itself.

    Returns:
      The optimizer. State: that of `inner`, four scalars and two for each group; with
      `active=False` that of `inner`.

    Raises:
      TypeError: `inner` is no transformation.
      ValueError: a parameter without a label, a label without a parameter; no parameters.

    References:
      Babuschkin et al., "The DeepMind JAX Ecosystem", 2020: `optax.monitor` of optax 0.2.8.

    Differs:
      From optax's in that it sees both sides of every link, parameters too.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> opt = gl.watch(gl.chain(gl.clip_by_global_norm(1.0), gl.sgd(0.1)))
      >>> params = jnp.array([3.0, 4.0])
      >>> _, state = opt.update(jnp.array([0.0, 2.0]), opt.init(params), params)
      >>> seen = gl.measurements(opt, state)
      >>> float(seen["gradient_norm"]), float(seen["clipped_gradient_norm"])
      (2.0, 1.0)
      >>> round(float(seen["update_ratios"]["all"]), 6)
      0.02
    """


ENTRY = core.Entry(
    watch,
    formula="norms of g, clip(g), u and p; p += inner(g)",
    paper=("deepmind2020jax",),
    example={"inner": sgd(0.01)},
    search_space={"learning_rate": (1e-3, 1.0, "log")},
    traits=core.Traits(
        temporaries="XLA on CPU stores the step before it sums its squares, and what of the "
        "gradient is not finite before it counts that.",
    ),
)
