"""Hypergradients in forward mode: for few hyperparameters and any number of steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from gradlab import core
from gradlab.meta._unroll import unroll


def forward_value_and_grad(
    function: Callable[..., Any], *, has_aux: bool = False
) -> Callable[..., tuple[Any, Any]]:
    r"""`jax.value_and_grad` in forward mode: memory does not grow with the number of steps.

    $$\frac{\partial f}{\partial \lambda_i} = J_f(\lambda)\, e_i, \quad i = 1, \dots, m$$

    One tangent for each number of the first argument is carried along while training goes on, all
    of them as one batch, and nothing is stored for a way back. The work grows with m: for one
    hyperparameter it is less than that of reverse mode, for as many as parameters it is hopeless.

    Args:
      function: `function(argument, *more)`, a scalar, with `has_aux` a pair of it and anything
        else. The argument is a tree of numbers: an optimizer, a schedule, an array.
      has_aux: whether `function` returns a pair.

    Returns:
      A function of the same arguments. It returns the value (a pair with `has_aux`) and the
      gradient, with the structure of the argument. It needs the memory of m + 1 runs of
      `function`.

    Raises:
      TypeError: the function's value is no real scalar, or the argument holds what cannot be
        differentiated in; the message names its path.

    References:
      Franceschi, Donini, Frasconi, Pontil, Forward and Reverse Gradient-Based Hyperparameter
      Optimization, arXiv:1703.01785: Algorithm 2 (Forward-HG).

    Differs:
      The Jacobians of the paper's recursion are never formed: tangents are pushed through each
      step.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> def loss_after_training(opt):
      ...     run = gl.meta.unroll(opt, lambda x, _: x**2, jnp.array(3.0), steps=2)
      ...     return run.params**2
      >>> value, grad = gl.meta.forward_value_and_grad(loss_after_training)(gl.sgd(0.25))
      >>> value.item(), grad.learning_rate.item()
      (0.5625, -9.0)
    """

    def value_and_grad(argument: Any, *more: Any) -> tuple[Any, Any]:
        for path, leaf in jax.tree_util.tree_leaves_with_path(argument):
            if not jnp.issubdtype(jnp.result_type(leaf), jnp.floating):
                raise TypeError(
                    f"forward_value_and_grad: the argument{jax.tree_util.keystr(path)} is no real "
                    f"number but {jnp.result_type(leaf)}; there is no derivative in it"
                )

        def twice(argument: Any) -> tuple[Any, Any]:
            found = function(argument, *more)
            value = found[0] if has_aux else found
            dtype = jnp.result_type(value)
            if jnp.shape(value) or not jnp.issubdtype(dtype, jnp.floating):
                raise TypeError(
                    "forward_value_and_grad: the function has to return a real scalar, "
                    f"not {dtype} of shape {jnp.shape(value)}"
                )
            return value, found

        grad, found = jax.jacfwd(twice, has_aux=True)(argument)
        return found, grad

    return value_and_grad


def _estimate(method: Any, problem: Any, x: Any, key: jax.Array) -> Any:
    del key

    def outer(x: Any) -> jax.Array:
        start = problem.inner_variables()
        run = unroll(optax.sgd(0.5), lambda y, _: problem.inner(x, y), start, steps=100)
        return problem.outer(x, run.params)

    return method(outer)(x)[1]


ENTRY = core.Entry(
    forward_value_and_grad,
    formula="df/dlambda_i = J_f(lambda) e_i",
    paper=("franceschi2017forward",),
    example={},
    estimate=_estimate,
)
