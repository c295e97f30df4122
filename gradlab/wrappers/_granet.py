"""GraNet: gradual magnitude pruning that lets weights grow again."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax

from gradlab import core
from gradlab.core import Mask, Params, Scalar, Updates, hyper, static
from gradlab.optimizers.momentum import sgd
from gradlab.wrappers._pruned import Pruned


class GraNetState(NamedTuple):
    """Steps so far, a mask for each array, and the state of the inner optimizer."""

    count: Any
    kept: Any
    inner_state: Any


class GraNet(Pruned):
    """Prunes the smallest weights, then a few more for those with the largest gradients."""

    final_sparsity: Scalar = hyper("[0, 1)")
    initial_sparsity: Scalar = hyper("[0, 1)")
    regrowth: Scalar = hyper("[0, 1]")
    every: int = static(convert=core.count_at_least(1))
    begin: int = static(convert=core.count_at_least(0))
    end: int = static(convert=core.count_at_least(1))

    def present(self) -> core.Transform:
        if self.end <= self.begin:
            raise ValueError(f"granet: end={self.end} is not after begin={self.begin}")
        return super().present()

    def init(self, params: Params) -> GraNetState:
        (sizes,) = self.each(lambda h, p: core.absolute(p), params)
        kept = self.keep_largest(sizes, self.dense(params), 1 - self.initial_sparsity)
        return GraNetState(core.step_count(), kept, self.inner.rule.init(params))

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, GraNetState]:
        params, gradients, old = self.needed(params), updates, state.kept
        masked = self.only_kept(gradients, old)
        updates, inner_state = self.inner.rule.update(masked, state.inner_state, params, **extra)
        updates = self.to_zero(updates, old, params)
        count = jnp.asarray(optax.safe_increment(state.count))
        due = (count % self.every == 0) & (count >= self.begin)

        def change() -> Any:
            sizes, t = self.sizes_after(updates, params), count.astype(jnp.result_type(float))
            left = 1 - jnp.clip((t - self.begin) / (self.end - self.begin), 0, 1)
            sparsity = self.initial_sparsity - self.final_sparsity
            kept = self.keep_largest(sizes, old, 1 - self.final_sparsity - sparsity * left**3)
            rate = self.regrowth * (1 + jnp.cos(math.pi * jnp.minimum(t / self.end, 1))) / 2
            return self.exchange(rate, sizes, gradients, kept)

        kept = lax.cond(due, change, lambda: old)
        # What has just grown starts at zero, whatever momentum is left of it.
        stay = jax.tree.map(lambda new, before: new & before, kept, old)
        return self.to_zero(updates, stay, params), GraNetState(count, kept, inner_state)


@core.builds(GraNet)
def granet(
    inner: optax.GradientTransformation,
    final_sparsity: Scalar,
    end: int,
    initial_sparsity: Scalar = 0.0,
    regrowth: Scalar = 0.5,
    *,
    every: int = 1000,
    begin: int = 0,
    mask: Mask = None,
):
    r"""GraNet prunes weights gradually and lets as many grow again as it prunes in addition.

    $$s_t = s_f + (s_i - s_f)\Big(1 - \frac{t - t_0}{t_1 - t_0}\Big)^3,\quad
    r_t = \frac r2 \Big(1 + \cos \frac{\pi t}{t_1}\Big)$$

    At every Δ-th step, after the weights have moved, only the fraction 1 − s of them, the
    largest of all arrays together, is kept. Then of each array the fraction r of its kept
    weights, the smallest ones, is exchanged for as many pruned ones, those with the largest
    gradients, which start at zero. Pruned weights are exactly zero, and the inner optimizer
    sees no gradient of them. It is not for the inside of a chain: nothing may come after it.

    Args:
      inner: the optimizer.
      final_sparsity: fraction s_f of the weights that is zero in the end, in [0, 1).
      end: step t_1 at which it is reached; regrowth has then come to rest.
      initial_sparsity: fraction s_i of the weights that is zero from the first step on, in
        [0, 1). 0 prunes a dense network, more trains a sparse one.
      regrowth: initial fraction r of an array's weights that is exchanged, in [0, 1]. 0 is
        gradual magnitude pruning.
      every: steps Δ from one pruning to the next, at least 1.
      begin: step t_0 of the first pruning.
      mask: which arrays are pruned, a tree of bools or a function from parameters to one. None:
        arrays of two or more dimensions.

    Returns:
      The optimizer. State: that of `inner`, a bool for each weight and a count.

    Raises:
      ValueError: an argument outside its range; `end` not after `begin`; a mask that selects
        nothing; no params.
      TypeError: `inner` is no transformation.

    References:
      Liu, Chen, Chen, Atashgahi, Yin, Kou, Shen, Pechenizkiy, Wang and Mocanu, "Sparse Training
      via Boosting Pruning Plasticity with Neuroregeneration", arXiv:2106.10404v4; the authors'
      `Masking` with `method="GraNet"`.

    Differs:
      Numbers of weights are rounded to the nearest, and exactly so many are kept, where the
      authors' code keeps all above a threshold. A sparse network starts from its largest
      weights, not from a random graph. The authors' decay of r ends at 0.005 and at the end of
      training. They clear the momentum of pruned weights; here it fades for want of gradients.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> opt = gl.granet(gl.sgd(1.0), 0.5, end=1, every=1)
      >>> params, zero = jnp.array([[3.0, 1.0], [-2.0, 0.5]]), jnp.zeros((2, 2))
      >>> updates, state = opt.update(zero, opt.init(params), params)
      >>> (params + updates).tolist()
      [[3.0, 0.0], [-2.0, 0.0]]
    """


ENTRY = core.Entry(
    granet,
    formula="keep the largest weights; exchange the smallest kept for those of largest gradient",
    paper=("M094",),
    example={
        "inner": sgd(0.05),
        "final_sparsity": 0.6,
        "end": 16,
        "initial_sparsity": 0.3,
        "every": 2,
    },
    search_space={"learning_rate": (1e-3, 1.0, "log"), "regrowth": (0.1, 0.9, "linear")},
    traits=core.Traits(
        elementwise=False,
        smooth=False,
        kinks="Where weights or gradients change their order in size; the choice has derivative "
        "zero, by the sparsities and `regrowth` too.",
    ),
)
