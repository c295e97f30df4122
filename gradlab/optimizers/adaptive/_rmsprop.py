"""RMSProp: the gradient over a running root mean square of itself."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from gradlab import core
from gradlab.core import Params, Scalar, ScalarOrSchedule, Updates, hyper, static
from gradlab.optimizers.adaptive._rms import ScaleByRms


class Rmsprop(core.Optimizer, ScaleByRms):
    """RMSProp: direction, learning rate, momentum, then the decoupled weight decay."""

    momentum: Scalar | None = hyper("[-1, 1]")
    nesterov: bool = static(convert=core.flag)

    def init(self, params: Params) -> tuple:
        still = self.momentum is None
        trace = optax.EmptyState() if still else optax.TraceState(core.moments_like(params))
        return (*super().init(params), trace)

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, Any]:
        direction, *scaling, trace = state
        if self.momentum is None:
            updates, (direction, *scaling) = super().update(updates, state[:-1], params, **extra)
            return updates, (direction, *scaling, trace)
        gradients = updates
        updates, direction = ScaleByRms.update(self, gradients, direction, params, **extra)
        undecayed = self.with_values(weight_decay=None)
        steps, rate = undecayed.scale(updates, (scaling[-1],), params)

        def leaf(h: Any, u: Any, t: Any) -> tuple:
            return core.accumulate(t, u, h.momentum)

        updates, moved = self.each(leaf, steps, trace.trace)
        if self.nesterov:
            again = self.again(gradients, direction, moved)
            steps, _ = undecayed.scale(again, (scaling[-1],), params)
            (updates,) = self.each(lambda h, u, t: u + h.momentum * t, steps, reads=(moved,))
        if self.weight_decay is not None:
            decay, rate = self.scale(jax.tree.map(jnp.zeros_like, steps), tuple(scaling), params)
            updates = jax.tree.map(jnp.add, updates, decay)
        return updates, (direction, *rate, optax.TraceState(moved))

    def schedule_counts(self, state: Any) -> dict[str, Any]:
        return super().schedule_counts(state[:-1])


@core.builds(Rmsprop)
def rmsprop(
    learning_rate: ScalarOrSchedule,
    decay: Scalar = 0.9,
    eps: Scalar = 1e-8,
    initial_scale: Scalar = 0.0,
    eps_in_sqrt: bool = True,
    centered: bool = False,
    momentum: Scalar | None = None,
    nesterov: bool = False,
    bias_correction: bool = False,
    weight_decay: ScalarOrSchedule | None = None,
    mask: core.Mask = None,
):
    r"""RMSProp divides the gradient by the root of an average of its squares.

    $$v \leftarrow \rho v + (1-\rho) g^2,\quad
    \Delta \leftarrow \mu \Delta - \eta\,\frac{g}{\sqrt{v + \varepsilon}},\quad
    \theta \leftarrow \theta + \Delta - \eta \lambda \theta$$

    Centred, the square of an average of gradients is subtracted from v under the root.

    Args:
      learning_rate: step size η [parameter units per step], in [0, inf), or a schedule.
      decay: decay ρ of the averages, in [0, 1).
      eps: added under the root [squared gradient units], in [0, inf); see `eps_in_sqrt`.
      initial_scale: where v starts [squared gradient units], in [0, inf).
      eps_in_sqrt: whether `eps` is added under the root, not to it [gradient units].
      centered: whether to divide by a standard deviation, not by a root mean square.
      momentum: decay μ of the sum of steps, in [-1, 1]; None keeps no such sum.
      nesterov: whether each step takes the newest term in once more.
      bias_correction: whether to divide the averages by the weight they have collected.
      weight_decay: decoupled decay λ, in [0, inf), scaled by the learning rate. It does
        not pass through the momentum.
      mask: which parameters decay: a tree of bools or a function of params.

    Returns:
      The optimizer. State: 1 × params, 1 more if centred, 1 more with momentum; a count
      with bias correction.

    Raises:
      ValueError: a hyperparameter outside its range.

    References:
      Tieleman and Hinton, lecture 6.5 of "Neural Networks for Machine Learning", Coursera
      2012; centred with momentum: Graves, "Generating Sequences With Recurrent Neural
      Networks", arXiv:1308.0850v5, equations 38 to 41.

    Differs:
      The lecture has no `eps`. PyTorch adds it to the root, and keeps the learning rate out
      of the momentum, which is the same while the rate is constant. The decay is not in
      either source.

    Example:
      >>> import gradlab as gl
      >>> gl.rmsprop(1e-3, momentum=0.9).momentum
      0.9
    """


ENTRY = core.Entry(
    rmsprop,
    formula="v = decay * v + (1 - decay) * g**2; p -= lr * g / sqrt(v + eps)",
    paper=("tieleman2012lecture", "graves2013generating"),
    example={"learning_rate": 1e-3},
    search_space={"learning_rate": (1e-4, 1e-1, "log"), "decay": (0.8, 0.999, "linear")},
)
