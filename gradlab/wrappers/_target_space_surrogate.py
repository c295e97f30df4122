"""Several steps on a surrogate of the loss in the space of the model's outputs."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from gradlab import core
from gradlab.core import Params, ScalarOrSchedule, Updates, hyper, static
from gradlab.optimizers.momentum import sgd
from gradlab.wrappers._several_steps import SeveralSteps


class TargetSpaceSurrogateState(NamedTuple):
    """State of `target_space_surrogate`.

    Attributes:
      count: steps so far.
      inner_state: that of the inner optimizer.
    """

    count: Any
    inner_state: Any


class TargetSpaceSurrogate(SeveralSteps):
    """Uses one gradient by the outputs for several steps of the parameters."""

    needs = ("output_fn", "output_grad")
    eta: ScalarOrSchedule = hyper("(0, inf)")
    inner_steps: int = static(convert=core.count_at_least(1))

    def init(self, params: Params) -> TargetSpaceSurrogateState:
        return TargetSpaceSurrogateState(core.step_count(), self.inner.rule.init(params))

    def update(
        self,
        updates: Updates,
        state: Any,
        params: Params | None = None,
        *,
        output_fn: Any = None,
        output_grad: Any = None,
        **extra: Any,
    ) -> tuple[Updates, TargetSpaceSurrogateState]:
        params = self.needed(params)
        now = self.with_values(eta=core.at(self.eta, state.count))
        outputs = output_fn(params)

        def gradient_at(place: Params, _: Any) -> Updates:
            def leaf(h: Any, g: Any, here: Any, there: Any) -> jax.Array:
                return g + (there - here) / h.eta

            there, pull = jax.vjp(output_fn, place)
            (slopes,) = now.each(leaf, output_grad, reads=(outputs, there))
            return pull(jax.tree.map(lambda s, z: s.astype(z.dtype), slopes, there))[0]

        first = gradient_at(params, None) if updates is None else updates
        moves, inner_state = self.walk(
            first, gradient_at, jnp.arange(self.inner_steps), state.inner_state, params, **extra
        )
        return moves, TargetSpaceSurrogateState(optax.safe_increment(state.count), inner_state)


@core.builds(TargetSpaceSurrogate)
def target_space_surrogate(
    inner: optax.GradientTransformation, eta: ScalarOrSchedule = 1.0, inner_steps: int = 10
):
    r"""Takes several steps for one gradient of the loss, on a surrogate in the outputs.

    $$\theta \leftarrow \arg\min_\omega\ \langle \nabla_z \ell(z_t), z(\omega)\rangle
    + \frac{1}{2\eta} \lVert z(\omega) - z_t \rVert^2,\quad z_t = z(\theta)$$

    by m steps of `inner` from θ. For losses whose gradient by the outputs z is what costs: a
    simulator, an expert. If ℓ is 1/η-smooth in the outputs, the surrogate bounds the loss from
    above, and no m makes the loss larger than it was, as long as the surrogate goes down.

    `update(grads, state, params, output_fn=output_fn, output_grad=output_grad)` is handed the
    gradients by the parameters (None: they are computed), the function from parameters to
    outputs on the batch, and the gradient of the loss by those outputs, ∇ℓ(z(θ)).

    Args:
      inner: the optimizer on the surrogate. Its state goes on from step to step.
      eta: step size η in the space of outputs [outputs per gradient], in (0, inf), or a
        schedule of the steps. For a loss that is the mean over a batch, a multiple of its
        size.
      inner_steps: number m of steps on the surrogate, at least 1. 1 is `inner` on the loss.

    Returns:
      The optimizer. State: that of `inner` and a count. A step costs the one gradient of the
      loss that is handed in; the model is run forwards m times and backwards m - 1 times.

    Raises:
      TypeError: `inner` is no transformation, or `output_fn` or `output_grad` is missing.
      ValueError: a hyperparameter outside its range, no parameters, outputs of another
        structure, or an inner optimizer that needs the value of the loss.

    References:
      Lavington, Vaswani, Babanezhad, Schmidt and Le Roux, "Target-based Surrogates for
      Stochastic Optimization", arXiv:2302.02607, the surrogate with squared distance; the
      authors' `SGD_FMDOpt`.

    Differs:
      The inner optimizer is any, and its state goes on; the authors' code begins a line
      search anew in each step, and minimises a multiple of the surrogate.

    Example:
      >>> import gradlab as gl, jax
      >>> opt = gl.target_space_surrogate(gl.sgd(0.1), eta=0.5, inner_steps=50)
      >>> output_fn, output_grad = lambda x: 2 * x, jax.grad(lambda z: z**2)
      >>> extra = {"output_fn": output_fn, "output_grad": output_grad(output_fn(3.0))}
      >>> update, _ = opt.update(None, opt.init(3.0), 3.0, **extra)
      >>> print(f"{output_fn(3.0 + update):.4f}")
      0.0000
    """


def _parameters_themselves(params: Params, given: dict[str, Any]) -> dict[str, Any]:
    del params
    return {"output_fn": lambda place: place, "output_grad": given["grad"]}


ENTRY = core.Entry(
    target_space_surrogate,
    formula="q = p; q += inner(J(q).T (dl/dz + (z(q) - z(p)) / eta)) m times; p = q",
    paper=("M097",),
    example={"inner": sgd(0.01), "eta": 0.5, "inner_steps": 3},
    search_space={"eta": (1e-2, 10.0, "log"), "learning_rate": (1e-3, 1.0, "log")},
    needs=("output_fn", "output_grad"),
    traits=core.Traits(
        temporaries="The steps on the surrogate are a loop, which carries how far it has come "
        "and reads the gradients in each turn.",
    ),
    extra=_parameters_themselves,
)
