"""Products of curvature matrices with vectors; no matrix is formed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax


def hessian_vector_product(objective: Callable[[Any], Any], params: Any, vector: Any) -> Any:
    r"""The Hessian of an objective times a vector.

    $$\nabla^2 f(\theta)\, v$$

    Forward over reverse mode: about two gradients, whatever the number of parameters.

    Args:
      objective: f, from a tree of parameters to a real scalar.
      params: the point θ.
      vector: v, a tree like `params`.

    Returns:
      A tree like `params`.

    Raises:
      TypeError: `vector` is no tree like `params`, or has other dtypes.

    References:
      Pearlmutter, "Fast Exact Multiplication by the Hessian", Neural Computation 6, 1994.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> w = jnp.array([1.0, 2.0])
      >>> gl.meta.hessian_vector_product(lambda w: w[0] * w[1] ** 2, w, jnp.array([1.0, 0.0]))
      Array([0., 4.], dtype=float32)
    """
    return jax.jvp(jax.grad(objective), (params,), (vector,))[1]


def gauss_newton_vector_product(
    predict: Callable[[Any], Any], loss: Callable[[Any], Any], params: Any, vector: Any
) -> Any:
    r"""The generalised Gauss–Newton matrix of an objective times a vector.

    $$J^\top\, \nabla^2 \ell(z)\, J\, v, \qquad z = h(\theta),\quad
    J = \partial h / \partial \theta$$

    It is the Hessian of ℓ∘h without the curvature of h, and positive semi-definite where ℓ is
    convex. What ℓ needs of θ itself, such as weights to decay, h passes on.

    Args:
      predict: h, from a tree of parameters to a tree of outputs.
      loss: ℓ, from outputs to a real scalar.
      params: the point θ.
      vector: v, a tree like `params`.

    Returns:
      A tree like `params`.

    Raises:
      TypeError: `vector` is no tree like `params`, or has other dtypes.

    References:
      Schraudolph, "Fast Curvature Matrix-Vector Products for Second-Order Gradient Descent",
      Neural Computation 14, 2002.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> w, v = jnp.array([1.0, 2.0]), jnp.array([1.0, 0.0])
      >>> gl.meta.gauss_newton_vector_product(lambda w: w**2, lambda z: jnp.sum(z**2), w, v)
      Array([8., 0.], dtype=float32)
    """
    outputs, pushed = jax.jvp(predict, (params,), (vector,))
    _, pull = jax.vjp(predict, params)
    return pull(hessian_vector_product(loss, outputs, pushed))[0]


def second_derivatives(
    objective: Callable[[Any, Any], Any], hyper: Any, params: Any
) -> tuple[Any, Callable[[Any], tuple[Any, Any]]]:
    r"""The gradient in the parameters, and the products of its derivatives with a tree.

    Args:
      objective: g, from hyperparameters λ and parameters w to a real scalar.
      hyper: λ.
      params: w.

    Returns:
      $\nabla_w g$, and $v \mapsto (\nabla^2_{\lambda w} g \, v, \nabla^2_{ww} g \, v)$.
    """
    # The derivative of <grad_w g, v> in both variables: reverse over reverse, so that neither
    # needs a tangent, which a loss with a backward pass of its own could not take. The linear
    # part is built once for all products.
    return jax.vjp(lambda h, p: jax.grad(objective, argnums=1)(h, p), hyper, params)
