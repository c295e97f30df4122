"""AutoSparse: thresholds that are learned, and gradients of pruned weights that fade."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from gradlab import core
from gradlab.core import Mask, Params, Scalar, Updates, hyper, static
from gradlab.transforms._soft_threshold import DECAYS, annealing, soft_threshold


class GradientAnnealingState(NamedTuple):
    """Steps so far, and for each array the number whose sigmoid is its threshold."""

    count: Any
    threshold: Any


class GradientAnnealing(core.Rule):
    """Lets less and less of the gradient through to weights below a learned threshold."""

    alpha: Scalar = hyper("[0, 1]")
    steps: Scalar = hyper("(0, inf)")
    threshold_learning_rate: Scalar = hyper("[0, inf)")
    threshold_decay: Scalar = hyper("[0, inf)")
    initial_threshold: Scalar = hyper()
    decay: str = static(convert=core.one_of(*DECAYS))
    mask: Mask = static()

    def init(self, params: Params) -> GradientAnnealingState:
        def leaf(p: Any) -> jax.Array:
            return jnp.full([], self.initial_threshold, jnp.finfo(core.compute_dtype(p)).dtype)

        core.weight_arrays(self.mask, params)
        return GradientAnnealingState(core.step_count(), jax.tree.map(leaf, params))

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, GradientAnnealingState]:
        params = self.needed(params)
        chosen = core.weight_arrays(self.mask, params)

        def leaf(h: Any, g: jax.Array, s: jax.Array, p: jax.Array, pruned: jax.Array) -> tuple:
            level = jax.nn.sigmoid(s)
            passed = jnp.where((pruned == 0) | (core.absolute(p) > level), 1, h.alpha)
            slope = -level * (1 - level) * jnp.sum(jnp.real(g * jnp.sign(p)) * passed)
            new = s - h.threshold_learning_rate * (slope + h.threshold_decay * s)
            return g * passed, jnp.where(pruned == 0, s, new)

        now = self.with_values(alpha=self.alpha * annealing(state.count / self.steps, self.decay))
        updates, threshold = now.each(leaf, updates, state.threshold, reads=(params, chosen))
        return updates, GradientAnnealingState(optax.safe_increment(state.count), threshold)

    def eval_params(self, state: Any, params: Params) -> Params:
        chosen = core.weight_arrays(self.mask, params)
        return jax.tree.map(soft_threshold, params, state.threshold, chosen)


@core.builds(GradientAnnealing)
def gradient_annealing(
    alpha: Scalar,
    steps: Scalar,
    threshold_learning_rate: Scalar = 0.1,
    threshold_decay: Scalar = 0.0,
    initial_threshold: Scalar = -5.0,
    *,
    decay: str = "sigmoid_cosine",
    mask: Mask = None,
):
    r"""AutoSparse learns a threshold for each array and anneals gradients of weights below it.

    $$\tilde w = \mathrm{sign}(w)\,\mathrm{ReLU}(|w| - \sigma(s)),\quad
    g_w = h\,g_{\tilde w},\quad g_s = -\sigma'(s) \sum_i \mathrm{sign}(w_i)\,h_i\,g_{\tilde w,i},
    \quad h_i = \begin{cases} 1 & |w_i| > \sigma(s) \\ \alpha_t & \text{else} \end{cases}$$

    where α falls from its initial value to 0, so that weights can come back at first. The
    model is run with the parameters that `gl.eval_params(opt, state, params)` gives, in which
    what is below the threshold is exactly zero, and gradients are taken there. It stands before
    an optimizer, whose parameters are the w.

    Args:
      alpha: initial fraction α of the gradient that reaches weights below the threshold, in
        [0, 1].
      steps: horizon T of the annealing [steps], in (0, inf); from there on α is zero.
      threshold_learning_rate: rate at which s learns, by gradient descent, in [0, inf).
      threshold_decay: pull of s towards zero, the threshold of one half [per step, times the
        rate], in [0, inf).
      initial_threshold: first s, a real number; the threshold is its sigmoid.
      decay: with t the part of the horizon that is over, `"cosine"` (1 + cos πt) / 2,
        `"sigmoid"` 1 − σ(12t − 6), or `"sigmoid_cosine"`, the larger of both.
      mask: which arrays get a threshold, a tree of bools or a function from parameters to one.
        None: arrays of two or more dimensions.

    Returns:
      The transformation. State: one number for each array, and a count.

    Raises:
      ValueError: an argument outside its range; no params; a mask that selects nothing.

    References:
      Kundu, Mellempudi, Vooturi, Kaul and Dubey, "AUTOSPARSE: Towards Automated Sparse Training
      of Deep Neural Networks", arXiv:2304.06941, gradient annealing and its three decays.

    Differs:
      The thresholds learn here, by plain gradient descent; in the paper they are parameters of
      the optimizer that the weights have. At the horizon α drops to zero.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> opt = gl.gradient_annealing(0.5, 100, initial_threshold=0.0)
      >>> w = jnp.array([[2.0, -0.25]])
      >>> state = opt.init(w)
      >>> gl.eval_params(opt, state, w).tolist()
      [[1.5, 0.0]]
      >>> opt.update(jnp.ones((1, 2)), state, w)[0].tolist()
      [[1.0, 0.5]]
    """


ENTRY = core.Entry(
    gradient_annealing,
    formula="g *= 1 where |w| > sigmoid(s) else alpha_t; w = sign(w) * relu(|w| - sigmoid(s))",
    paper=("M093",),
    example={"alpha": 0.75, "steps": 30, "threshold_decay": 0.1, "initial_threshold": -1.0},
    search_space={"alpha": (0.1, 1.0, "linear"), "threshold_learning_rate": (1e-3, 1.0, "log")},
)
