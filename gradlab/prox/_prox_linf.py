"""The operator of the largest absolute value."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gradlab import core, linalg


def prox_linf(tree: Any, strength: Any = 1.0, scaling: Any = 1.0) -> Any:
    r"""The proximal operator of the largest absolute value cuts the largest numbers to one level.

    $$x - \operatorname{proj}_{\lVert y\rVert_1 \le s\lambda}(x) = \arg\min_y
    \tfrac12\lVert x - y\rVert^2 + s\,\lambda\,\lVert y\rVert_\infty$$

    The norm is that of all arrays together.

    Args:
      tree: x, arrays of real or complex numbers; None leaves stay.
      strength: λ, one number in [0, inf). None: one.
      scaling: s, a number in [0, inf).

    Returns:
      A tree like x. The derivative is that for the same numbers being cut.

    Raises:
      TypeError: an array of integers, or a strength that is no real number.
      ValueError: a strength or scaling outside its range, or a tree of strengths that does not
        fit; messages name the argument, or the path.

    References:
      Moreau, "Proximité et dualité dans un espace hilbertien", 1965; Duchi, Shalev-Shwartz,
      Singer and Chandra, "Efficient projections onto the l1-ball for learning in high
      dimensions", ICML 2008, for the level; Parikh and Boyd, "Proximal Algorithms", Foundations
      and Trends in Optimization 1(3), 2014, chapter 6.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> gl.prox.prox_linf(jnp.array([3.0, -2.5, 1.0]), 1.5).tolist()
      [2.0, -2.0, 1.0]
    """
    operand = core.Operand.of("prox_linf", tree)
    total = operand.strength("strength", strength, scaling)
    if not any(x.size for x in operand.arrays):
        return tree
    sizes = jnp.concatenate([core.absolute(x).reshape(-1) for x in operand.arrays])
    level = linalg.cut_level(sizes, total)

    def formula(x: Any) -> Any:
        cut = jnp.where(core.absolute(x) > level, level * core.direction(x), x)
        return jnp.where(jnp.sum(sizes) < total, 0, cut).astype(x.dtype)

    return operand.map(formula)


def _penalty(tree: Any, strength: Any) -> Any:
    return strength * jnp.max(jnp.stack([jnp.max(abs(x)) for x in jax.tree.leaves(tree)]))


ENTRY = core.Entry(
    prox_linf,
    formula="x - projection of x onto the l1 ball of radius s * strength",
    paper=("parikh2014proximal", "duchi2008efficient"),
    example={"strength": 1.2},
    penalty=_penalty,
    traits=core.Traits(
        elementwise=False,
        smooth=False,
        kinks="The derivative is that for the same numbers being cut.",
    ),
)
