"""One vector for each dtype in the place of many arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import optax

from gradlab import core
from gradlab.core import Params, Updates
from gradlab.optimizers.momentum import sgd
from gradlab.wrappers._flat_params import FlatParams, Layout, joined, layout_of


class FlatState(NamedTuple):
    """State of `flat`.

    Attributes:
      inner_state: that of the inner optimizer, for a dict of vectors.
    """

    inner_state: Any


class Flat(core.Wrapper):
    """Shows the inner optimizer one vector for each dtype."""

    def init(self, params: Params) -> FlatState:
        return FlatState(self.inner.rule.init(joined(params, layout_of(params))))

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, FlatState]:
        layout = layout_of(updates if params is None else params)
        vectors = None if params is None else joined(params, layout)
        kind = FlatParams if isinstance(params, FlatParams) else _tree
        extra = {name: _seen(name, value, layout, kind) for name, value in extra.items()}
        gradients = joined(updates, layout)
        steps, inner = self.inner.rule.update(gradients, state.inner_state, vectors, **extra)
        kept = FlatParams(steps, layout)
        return (kept if isinstance(updates, FlatParams) else kept.tree()), FlatState(inner)

    def in_order(self, state: Any, updates: Updates, params: Params | None) -> Any:
        if params is None:
            return state
        layout = layout_of(params)
        vectors = (joined(tree, layout) for tree in (updates, params))
        return FlatState(self.inner.rule.in_order(state.inner_state, *vectors))

    def eval_params(self, state: Any, params: Params) -> Params:
        layout = layout_of(params)
        vectors = self.inner.rule.eval_params(state.inner_state, joined(params, layout))
        kept = FlatParams(vectors, layout)
        return kept if isinstance(params, FlatParams) else kept.tree()


def _tree(vectors: Any, layout: Layout) -> Any:
    return layout.split(vectors)


def _seen(name: str, value: Any, layout: Layout, kind: Callable[[Any, Layout], Any]) -> Any:
    """An extra argument as the inner optimizer sees it."""
    if name == "grad":
        return joined(value, layout)
    if name not in ("value_fn", "grad_fn"):
        return value

    def function(vectors: Any, *args: Any, **kwargs: Any) -> Any:
        found = value(kind(vectors, layout), *args, **kwargs)
        return joined(found, layout) if name == "grad_fn" else found

    return function


@core.builds(Flat)
def flat(inner: optax.GradientTransformation):
    r"""Steps one vector for each dtype, however many arrays the parameters have.

    $$\theta = (\mathrm{vec}\,\theta_1, \dots, \mathrm{vec}\,\theta_n),\quad
    \theta \leftarrow \theta + \mathrm{inner}(\nabla L(\theta))$$

    A step of thousands of arrays is thousands of operations to compile and to start. Keep the
    parameters flat, and it is a few: `params = gl.flatten_params(tree)` once, and
    `loss(params.tree())` in the loss, whose gradient comes back flat. Given trees, the wrapper
    flattens them inside each step, which is right, but saves nothing. XLA on CPU compiles a
    kernel for each slice that the view takes: the update itself compiles and steps in a fraction
    of the time, but a loss that reads every array by itself takes longer to compile than with a
    tree. It pays where training is long, or where few operations read the view.

    Args:
      inner: the optimizer. It sees vectors, and so has to treat all numbers alike: each by
        itself, or by norms over all of them. Not for matrix methods, norms of layers, and
        masks.

    Returns:
      The optimizer. State: that of `inner`, as vectors.

    Raises:
      TypeError: `inner` is no transformation.
      ValueError: a parameter without a gradient; the message names the path.

    References:
      Babuschkin et al., "The DeepMind JAX Ecosystem", 2020: `optax.flatten` of optax 0.2.8.

    Differs:
      From optax's function in that parameters and gradients can stay flat from step to step,
      and in that each dtype has a vector of its own.

    Example:
      >>> import gradlab as gl, jax, jax.numpy as jnp
      >>> opt = gl.flat(gl.adamw(0.1))
      >>> params = gl.flatten_params([jnp.ones(2), jnp.ones((2, 2))])
      >>> g = jax.grad(lambda p: sum(jnp.sum(x**2) for x in p.tree()))(params)
      >>> updates, state = opt.update(g, opt.init(params), params)
      >>> updates.vectors["float32"].shape, len(jax.tree.leaves(state))
      ((6,), 3)
    """


ENTRY = core.Entry(
    flat,
    formula="concat(p) += inner(concat(g))",
    paper=("deepmind2020jax",),
    example={"inner": sgd(0.005, 0.9)},
    search_space={"learning_rate": (1e-3, 1.0, "log")},
)
