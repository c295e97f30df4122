"""Bayesian sharpness-aware minimisation: every weight learns how far uphill it is to look."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import optax

from gradlab import core
from gradlab.core import Params, Scalar, ScalarOrSchedule, Updates, hyper, static
from gradlab.optimizers.momentum import sgd
from gradlab.wrappers._displaced import Displaced, DisplacedState, Evaluate, Found, Start, moved


class BsamMemory(NamedTuple):
    """What `bsam` carries from step to step.

    Attributes:
      key: for the next sample, as raw words.
      mu: average of the gradients uphill, a tree like the parameters.
      s: the posterior's precision over the number of examples, a tree like the parameters.
    """

    key: Any
    mu: Any
    s: Any


class Bsam(Displaced):
    """A variational Gaussian whose mean descends with gradients from uphill."""

    data_size: Scalar = hyper("(0, inf)")
    rho: ScalarOrSchedule = hyper("[0, inf)")
    b1: Scalar = hyper("[0, 1)")
    b2: Scalar = hyper("[0, 1]")
    prior: Scalar = hyper("[0, inf)")
    damping: Scalar = hyper("[0, inf)")
    initial_scale: Scalar = hyper("(0, inf)")
    key: int | tuple[int, ...] | None = static(convert=core.seed_or_words)

    def remembered(self, params: Params) -> BsamMemory:
        scale = core.moments_like(params, fill=self.initial_scale)
        return BsamMemory(core.initial_key(self.key), core.moments_like(params), scale)

    def update(
        self,
        updates: Updates,
        state: Any,
        params: Params | None = None,
        *,
        grad_fn: Any = None,
        **extra: Any,
    ) -> tuple[Updates, DisplacedState]:
        params = self.needed(params)
        if updates is not None:
            self.each(lambda h, g, p: g, updates, reads=(params,))  # says where they differ
        key, sample = jax.random.split(state.memory.key)
        noise = optax.tree.random_like(core.fusible(sample), state.memory.mu, jax.random.normal)

        def leaf(h: Any, z: jax.Array, s: jax.Array) -> jax.Array:
            return z * core.reciprocal_sqrt(h.data_size * s.real)

        (moves,) = self.each(leaf, noise, reads=(state.memory.s,))
        there, _ = self.evaluated(grad_fn, moved(params, moves), state.aux, False)
        state = state._replace(memory=state.memory._replace(key=key))
        return super().update(there, state, params, grad_fn=grad_fn, **extra)

    def descent(self, start: Start, evaluate: Evaluate) -> Found:
        memory = start.memory
        (moves,) = self.each(
            lambda h, g, s: h.rho * core.divide(g, s), start.own, reads=(memory.s,)
        )
        uphill, aux = evaluate(moved(start.params, moves), start.aux)
        (sizes,) = self.each(lambda h, g: core.absolute(g), start.own)

        def leaf(h: Any, up: jax.Array, m: jax.Array, s: jax.Array, size: Any, p: Any) -> tuple:
            m = core.average(m, up + h.prior * p, h.b1)
            target = core.sqrt(s.real) * size.real + h.prior + h.damping
            return core.divide(m, s), m, core.average(s.real, target, h.b2)

        reads = (self.averaged(sizes), start.params)
        steps, mu, s = self.each(leaf, uphill, memory.mu, memory.s, reads=reads)
        return Found(steps, BsamMemory(memory.key, mu, s), aux)


@core.builds(Bsam, aux_from="last")
def bsam(
    inner: optax.GradientTransformation,
    data_size: Scalar,
    rho: ScalarOrSchedule = 0.05,
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    prior: Scalar = 1e-4,
    damping: Scalar = 0.1,
    initial_scale: Scalar = 1.0,
    *,
    key: Any = None,
    axis_name: Any = None,
    local_ascent: bool = False,
    has_aux: bool = False,
    aux_like: Any = None,
):
    r"""bSAM is SAM with a Gaussian over the weights, whose precision it learns as Adam does.

    $$g = \nabla L(\theta + \sigma z),\quad z \sim \mathcal N(0, 1),\quad
    \sigma^2 = \frac1{N s},\quad
    m \leftarrow \beta_1 m + (1-\beta_1)\Big(\nabla L\Big(\theta + \rho\,\frac gs\Big)
    + \delta\,\theta\Big)$$
    $$\theta \leftarrow \theta + \mathrm{inner}(m / s),\quad
    s \leftarrow \beta_2 s + (1-\beta_2)\big(\sqrt s\,\lvert g\rvert + \delta + \gamma\big)$$

    Around `sgd` it is the paper's rule. The posterior of the weights is a Gaussian around the
    parameters with variance 1 / (N s): `state.memory.s` gives uncertainties. Both gradients
    come from `grad_fn`; the one that `update` is given is not used, and may be None.

    Args:
      inner: the optimizer that descends, `sgd` with the learning rate α. Gradients of the mean
        of the loss over examples are expected.
      data_size: number N of training examples, in (0, inf).
      rho: size ρ of the ascent [parameter units per scaled gradient], in [0, inf), or a
        schedule of the steps.
      b1: decay of the average of gradients, in [0, 1).
      b2: decay of the average of scales, in [0, 1].
      prior: precision δ of the Gaussian prior over N [gradient units per parameter unit], in
        [0, inf): weight decay, as a part of the gradient.
      damping: added γ to what the scale follows [units of s], in [0, inf).
      initial_scale: the scale s at the start, in (0, inf).
      key: a random key, or a seed; 0 if not given. It decides the state's first key.
      axis_name: as in `sam`.
      local_ascent: as in `sam`.
      has_aux: as in `sam`.
      aux_like: as in `sam`; the aux are those from uphill.

    Returns:
      The optimizer. State: 2 × params, that of `inner`, a key and a count. A step costs two
      gradients.

    Raises:
      TypeError: `inner` is no transformation, or `grad_fn` is missing.
      ValueError: a hyperparameter outside its range, or no parameters.

    References:
      Möllenhoff and Khan, "SAM as an Optimal Relaxation of Bayes", arXiv:2210.01620v3,
      Algorithm 1; the authors' `build_bsam_optimizer`.

    Differs:
      The step is divided by the scale before it is renewed, as in the authors' code. The
      batch is not split: for m-sharpness see `axis_name` and `local_ascent`.

    Example:
      >>> import gradlab as gl
      >>> opt = gl.bsam(gl.sgd(0.5), data_size=50_000)
      >>> state = opt.init(1.0)
      >>> updates, state = opt.update(None, state, 1.0, grad_fn=lambda p: 2 * p)
      >>> print(f"{updates:.2f} {state.memory.s:.4f}")
      -0.11 1.0011
    """


ENTRY = core.Entry(
    bsam,
    formula="m = b1 * m + (1 - b1) * (grad at p + rho * g / s + prior * p); p += inner(m / s); "
    "s = b2 * s + (1 - b2) * (sqrt(s) * |g| + prior + damping)",
    paper=("mollenhoff2022sam",),
    example={"inner": sgd(0.002), "data_size": 1000.0, "b2": 0.9},
    needs=("grad_fn",),
    search_space={"rho": (1e-3, 0.5, "log"), "learning_rate": (1e-3, 1.0, "log")},
    traits=core.Traits(
        stochastic=True,
        gradient_evaluations=3,
        temporaries="The gradients are taken at two places that differ from the parameters, and "
        "both are used after the second one.",
    ),
)
