"""Sharpness-aware minimisation."""

from __future__ import annotations

from typing import Any

import optax

from gradlab import core
from gradlab.core import ScalarOrSchedule, Updates
from gradlab.optimizers.momentum import sgd
from gradlab.wrappers._displaced import Start, along
from gradlab.wrappers._turns import Ascending


class Sam(Ascending):
    """Descends with the gradient at the worst place nearby."""

    def ascent(self, start: Start) -> tuple[Updates, Any]:
        return along(self, start.own), start.memory


@core.builds(Sam)
def sam(
    inner: optax.GradientTransformation,
    rho: ScalarOrSchedule = 0.05,
    *,
    sync_period: int | None = None,
    axis_name: Any = None,
    local_ascent: bool = False,
    has_aux: bool = False,
    aux_like: Any = None,
    aux_from: str = "last",
):
    r"""SAM steps with the gradient taken a little uphill, where the loss is worst nearby.

    $$\theta \leftarrow \theta - \mathrm{inner}\Big(\nabla L\Big(\theta
    + \rho\,\frac{g}{\lVert g \rVert}\Big)\Big),\quad g = \nabla L(\theta)$$

    By default one call of `update` does all of it: it is handed g and evaluates `grad_fn`
    once, at the place uphill, so that a step costs exactly two gradients. Where gradients
    can only be supplied from outside, `sync_period=2` makes the calls take turns: the first
    moves the parameters uphill, the second brings them back and descends.

    Args:
      inner: the optimizer that descends. It sees the gradients uphill, the parameters
        before the ascent, and all extra arguments.
      rho: length ρ of the ascent [norm of the parameters], in [0, inf), or a schedule of
        the number of descents.
      sync_period: None, or the number of calls that make up one step, the last of which
        descends.
      axis_name: the axis of a `shard_map`, `pmap` or `vmap` over whose devices gradients
        are averaged. None: they are used as they come.
      local_ascent: whether each device of the axis goes uphill along its own gradient.
        Otherwise all go to the same place, along the mean. The gradients that descend are
        averaged either way.
      has_aux: whether `grad_fn` returns a pair of gradients and something else, such as
        the statistics of a batch norm.
      aux_like: what that something looks like: a tree of arrays, or of their shapes. The
        state then holds it as `aux`. None: it is dropped.
      aux_from: the pass that it is taken from: `"last"`, the latest, or `"first"`, that at
        the parameters themselves, for which `update` is called with None in the place of
        the gradients. A caller who takes that gradient has what comes beside it.

    Returns:
      The optimizer. State: that of `inner` and a count; with `sync_period` 1 × params more.
      `update(grads, state, params, grad_fn=grad_fn)` calls `grad_fn(params)` once, twice
      for `grads=None`.

    Raises:
      TypeError: `inner` is no transformation, or `grad_fn` is missing.
      ValueError: `rho` outside its range, no parameters, or gradients given although
        `aux_from="first"`.

    References:
      Foret et al., "Sharpness-Aware Minimization for Efficiently Improving
      Generalization", arXiv:2010.01412v3, Algorithm 1 with p = 2.

    Differs:
      Where the gradient is exactly zero there is no ascent, and its derivative is taken as
      zero; the paper divides by zero. The norm is that of the whole tree. The paper's own
      runs go uphill on each device apart: `local_ascent=True`.

    Example:
      >>> import gradlab as gl, jax
      >>> opt = gl.sam(gl.sgd(0.1), rho=0.5)
      >>> grad_fn = jax.grad(lambda x: x**2)
      >>> update, _ = opt.update(grad_fn(1.0), opt.init(1.0), 1.0, grad_fn=grad_fn)
      >>> float(update)
      -0.30000001192092896
      >>> gl.hyperparameters(opt)
      {'inner.learning_rate': 0.1, 'rho': 0.5}
    """


ENTRY = core.Entry(
    sam,
    formula="p -= inner(grad_fn(p + rho * g / |g|))",
    paper=("M090",),
    example={"inner": sgd(0.01)},
    search_space={"rho": (1e-2, 1.0, "log"), "learning_rate": (1e-3, 1.0, "log")},
    needs=("grad_fn",),
    traits=core.Traits(
        elementwise=False,
        smooth=False,
        kinks="The ascent turns round where the gradient passes zero; its derivative there is "
        "taken as zero.",
        gradient_evaluations=2,
    ),
)
