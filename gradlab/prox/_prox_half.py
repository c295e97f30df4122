"""Half thresholding."""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp

from gradlab import core
from gradlab.prox._sums import summed


def prox_half(tree: Any, strength: Any = 1.0, scaling: Any = 1.0) -> Any:
    r"""Half thresholding, the proximal operator of the sum of square roots, jumps to zero.

    $$\tfrac23\,x \left(1 + \cos\left(\tfrac{2\pi}{3} - \tfrac23
    \arccos\left(\tfrac{s\lambda}{4} \left(\tfrac{|x|}{3}\right)^{-3/2}\right)\right)\right)
    \ \text{ for } |x| \ge \tfrac32 (s\lambda)^{2/3}, \text{ else } 0$$

    It minimises ½(x − y)² + s λ |y|^{1/2}. At the threshold it jumps.

    Args:
      tree: x, arrays of real or complex numbers; None leaves stay.
      strength: λ, in [0, inf): a number, or a tree of numbers or arrays that broadcast
        to the arrays of x. None: one.
      scaling: s, a number in [0, inf).

    Returns:
      A tree like x. The derivative of the jump is taken as zero, and that at the threshold is
      the one from outside.

    Raises:
      TypeError: an array of integers, or a strength that is no real number.
      ValueError: a strength or scaling outside its range, or a tree of strengths that does not
        fit; messages name the argument, or the path.

    References:
      Xu, Chang, Xu and Zhang, "L1/2 regularization: a thresholding representation theory and a
      fast solver", IEEE Transactions on Neural Networks and Learning Systems 23(7), 2012.

    Differs:
      The paper minimises (x − y)² + λ |y|^{1/2}; its λ is twice ours.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> [round(y, 3) for y in gl.prox.prox_half(jnp.array([3.0, 1.4]), 1.0).tolist()]
      [2.695, 0.0]
    """
    operand = core.Operand.of("prox_half", tree)

    def formula(x: Any, s: Any) -> Any:
        s = jnp.asarray(s, x.real.dtype)
        size = core.absolute(x)
        inside = size < 1.5 * core.power(s, 2 / 3)
        some = ~inside & (size > 0)
        ratio = jnp.where(some, s / 4 * (jnp.where(some, size, 3) / 3) ** -1.5, 0)
        kept = 2 / 3 * x * (1 + jnp.cos(2 / 3 * (math.pi - jnp.arccos(ratio))))
        return jnp.where(inside, 0, kept)

    return operand.map(formula, operand.strengths("strength", strength, scaling))


ENTRY = core.Entry(
    prox_half,
    formula="2/3 x (1 + cos(2/3 (pi - arccos(s * strength / 4 (|x| / 3)**-1.5))))",
    paper=("M079", "xu2012half"),
    example={"strength": 0.3},
    penalty=summed(lambda x, strength: strength * jnp.sqrt(abs(x))),
    traits=core.Traits(
        smooth=False,
        kinks="At the threshold it jumps; the jump has derivative zero.",
        expansive="The penalty is not convex.",
    ),
)
