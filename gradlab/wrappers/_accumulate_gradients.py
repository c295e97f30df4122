"""One step from the gradients of several calls."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax

from gradlab import core
from gradlab.core import DType, Params, Updates, static
from gradlab.optimizers.momentum import sgd


class AccumulateGradientsState(NamedTuple):
    """State of `accumulate_gradients`.

    Attributes:
      count: calls so far.
      mean: of the gradients since the last step, a tree like the parameters.
      inner_state: that of the inner optimizer.
    """

    count: Any
    mean: Any
    inner_state: Any


class AccumulateGradients(core.Wrapper):
    """Steps at every k-th call, with the mean of the gradients since the last step."""

    every: int = static(convert=core.count_at_least(1))
    accumulator_dtype: DType | None = static(convert=core.dtype_or_none)

    def check_composition(self) -> None:
        super().check_composition()
        if self.every > 1 and "grad_fn" in self.inner.rule.required():
            inner = self.inner.rule.owner()
            raise ValueError(
                f"accumulate_gradients: inner={inner}(…) takes gradients of its own, which would "
                f"be those of the last call alone; write {inner}(accumulate_gradients(…))"
            )

    def present(self) -> core.Transform:
        return self.inner if self.every == 1 else super().present()

    def init(self, params: Params) -> AccumulateGradientsState:
        mean = core.moments_like(params, self.accumulator_dtype)
        return AccumulateGradientsState(core.step_count(), mean, self.inner.rule.init(params))

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, AccumulateGradientsState]:
        part = state.count % self.every

        def leaf(h: Any, g: Any, mean: Any) -> tuple:
            mean = mean + (g - mean) / (part + 1).astype(g.real.dtype)
            return mean, mean

        def step() -> tuple:
            wide, mean = self.each(leaf, updates, state.mean)
            steps, inner_state = self.inner.rule.update(wide, state.inner_state, params, **extra)
            return steps, jax.tree.map(jnp.zeros_like, mean), inner_state

        like = jax.eval_shape(step)

        def wait() -> tuple:
            nothing = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), like[0])
            held = jax.tree.map(lambda x, s: x.astype(s.dtype), state.inner_state, like[2])
            return nothing, self.each(leaf, updates, state.mean)[1], held

        # The predicate comes from the count alone, so that it stays one under vmap.
        steps, mean, inner_state = lax.cond(part == self.every - 1, step, wait)
        inner_state = jax.tree.map(lambda x, s: x.astype(s.dtype), inner_state, state.inner_state)
        count = optax.safe_increment(state.count)
        return steps, AccumulateGradientsState(count, mean, inner_state)


@core.builds(AccumulateGradients)
def accumulate_gradients(
    inner: optax.GradientTransformation,
    every: int,
    *,
    accumulator_dtype: DType | None = None,
):
    r"""Takes one step for every k calls, with the mean of their gradients.

    $$\theta \leftarrow \theta + \mathrm{inner}\Big(\frac1k \sum_{i=1}^{k} g_i\Big)$$

    In the calls between, updates are zero and the inner optimizer does not run. Equal micro
    batches give the step of one big batch: what clips or counts steps belongs into `inner`.

    Args:
      inner: the optimizer.
      every: calls k that make up a step, at least 1. With 1 this is `inner` itself.
      accumulator_dtype: dtype in which the mean is kept. None: the parameter's, and float32
        for parameters of fewer than 32 bits.

    Returns:
      The optimizer. State: that of `inner`, 1 × params and a count; with `every=1` that of
      `inner`.

    Raises:
      TypeError: `inner` is no transformation, or `every` is no integer.
      ValueError: `every` is less than 1, or `inner` takes gradients of its own.

    References:
      Babuschkin et al., "The DeepMind JAX Ecosystem", 2020: `optax.MultiSteps` of optax 0.2.8.

    Differs:
      From optax's class in that it is a transformation, that it keeps no mean for one call a
      step, and that the number of calls is no schedule.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> opt = gl.accumulate_gradients(gl.sgd(1.0), 2)
      >>> state = opt.init(0.0)
      >>> first, state = opt.update(1.0, state, 0.0)
      >>> second, state = opt.update(3.0, state, 0.0)
      >>> float(first), float(second)
      (0.0, -2.0)
    """


ENTRY = core.Entry(
    accumulate_gradients,
    formula="p += inner(mean of k gradients) at every k-th call",
    paper=("deepmind2020jax",),
    example={"inner": sgd(0.05), "every": 2},
    search_space={"learning_rate": (1e-3, 1.0, "log")},
    traits=core.Traits(
        temporaries="The step is one branch of a conditional; what a branch gives is stored "
        "before it is used, here the new mean and the updates.",
    ),
)
