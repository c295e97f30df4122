"""The vanishing gradient penalty: recurrent steps keep the length of error signals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from gradlab import core
from gradlab.core import Params, Scalar, hyper, static
from gradlab.regularizers import _leaves
from gradlab.regularizers._recurrent import immediate, squared_ratios


class VanishingGradientPenalty(core.Regularizer):
    """The squared change of length of error signals in each step back in time."""

    needs = ("transition", "states", "signals")
    weight: Scalar = hyper("[0, inf)")
    squared: bool = static(convert=core.flag)
    immediate: bool = static(convert=core.flag)
    reduction: str = static(convert=core.one_of("mean", "sum"))

    def __call__(
        self,
        params: Params,
        transition: Callable[..., Any],
        states: Any,
        signals: Any,
        inputs: Any = None,
    ) -> jax.Array:
        params, states, signals = jax.tree.map(_leaves.widened, (params, states, signals))
        _check(self.owner(), states, signals)

        def omega(params: Params, states: Any, signals: Any, inputs: Any) -> jax.Array:
            squares = squared_ratios(transition, params, states, signals, inputs)
            ratios = squares if self.squared else core.sqrt(squares)
            present = jnp.any(signals != 0, axis=-1)
            counted = jnp.maximum(1, jnp.sum(present)) if self.reduction == "mean" else 1
            return jnp.sum(jnp.where(present, jnp.square(ratios - 1), 0)) / counted

        arguments = (params, states, signals, inputs)
        value = immediate(omega, *arguments) if self.immediate else omega(*arguments)
        return _leaves.total(self.weight, [value])


def _check(owner: str, states: Any, signals: Any) -> None:
    shapes = jnp.shape(states), jnp.shape(signals)
    if shapes[0] != shapes[1] or len(shapes[0]) < 2:
        raise ValueError(
            f"{owner}: states and signals have to be arrays of one shape (steps, ..., units), but "
            f"states has {shapes[0]} and signals has {shapes[1]}"
        )
    if jnp.iscomplexobj(states) or jnp.iscomplexobj(signals):
        raise TypeError(f"{owner}: states and signals are complex")


@core.builds(VanishingGradientPenalty)
def vanishing_gradient_penalty(
    weight: Scalar = 1.0,
    *,
    squared: bool = True,
    immediate: bool = True,
    reduction: str = "mean",
):
    r"""Draws the steps of a recurrent network to keep the length of error signals.

    $$\Omega = \sum_k \left(\frac{\big\lVert \frac{\partial E}{\partial x_{k+1}}
    \frac{\partial x_{k+1}}{\partial x_k} \big\rVert^2}{\big\lVert
    \frac{\partial E}{\partial x_{k+1}} \big\rVert^2} - 1\right)^2$$

    Only the directions in which errors travel count, so that the network may still forget all
    others. Its derivative is the immediate one of the paper: by the parameters of the transition
    in ∂x_{k+1}/∂x_k, with states and error signals held constant.

        def transition(params, x, u):                  # one example, one step
            return params["W"] @ jnp.tanh(x) + params["V"] @ u + params["b"]

        def loss(params, nudges):                      # nudges: zeros of shape (steps, units)
            def step(x, given):
                u, nudge = given
                new = transition(params, x, u) + nudge
                return new, x                          # the state before the step
            last, states = jax.lax.scan(step, start, (inputs, nudges))
            return error(last), states

        signals, states = jax.grad(loss, argnums=1, has_aux=True)(params, jnp.zeros(shape))
        penalty(params, transition, states, signals, inputs)

    Args:
      weight: the factor of the penalty [loss units], in [0, inf). The paper calls it α.
      squared: whether lengths are compared by the ratio of their squares, as above, or by that
        of the lengths.
      immediate: whether states, signals and inputs are held constant. With False the derivative
        goes through them, where they are functions of what it is taken by.
      reduction: `"mean"` over all steps and examples whose signal is not zero, or the `"sum"`.

    Returns:
      The regularizer: `penalty(params, transition, states, signals, inputs)` is a scalar, in
      float32 or wider. `states` are the x_k before each step and `signals` the gradients of
      the error by the x_{k+1} after it, both of shape (steps, ..., units); `inputs`, a tree of
      arrays (steps, ..., features), may be left out. `transition(params, x, u)`, or
      `transition(params, x)` without inputs, is one step of one example. State: none.

    Raises:
      TypeError: complex states or signals.
      ValueError: `weight` outside its range, or states and signals of different shapes.

    References:
      Pascanu, Mikolov and Bengio, "On the difficulty of training Recurrent Neural Networks",
      arXiv:1211.5063v2, section 3.3.

    Differs:
      The paper defines Ω with lengths (`squared=False`) and takes derivatives of squares; its
      code has squares, means over the batch, and leaves out signals whose squared length is
      below 1e-20. Here a signal of any size but zero counts. The code states transitions
      between activations and holds those after a step constant, too; states before the
      nonlinearity, as in the paper and above, give the same derivative by W.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> penalty = gl.vanishing_gradient_penalty()
      >>> step = lambda W, x: W @ x
      >>> float(penalty(0.5 * jnp.eye(2), step, jnp.ones((3, 2)), jnp.ones((3, 2))))
      0.5625
    """


ENTRY = core.Entry(
    vanishing_gradient_penalty,
    formula="weight * mean_k (|s_k+1 J_k|**2 / |s_k+1|**2 - 1)**2",
    paper=("M036",),
    example={"weight": 0.1},
    search_space={"weight": (1e-2, 10.0, "log")},
    needs=("transition", "states", "signals"),
    traits=core.Traits(complex=False),
)
