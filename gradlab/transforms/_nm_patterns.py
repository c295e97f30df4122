"""N:M patterns that follow one another while a network is trained."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from gradlab import core
from gradlab.core import Params
from gradlab.linalg import n_of_m

Pattern = tuple[int, int]
RECIPES = ("mdgf_exponential", "mdgf_linear", "sdgf_stepwise", "sdgf_geometric")


def check(rule: Any) -> None:
    """Refuses a pattern, a rate or times that do not fit together.

    Raises:
      ValueError: with the arguments by name.
    """
    owner, fades = rule.owner(), rule.recipe.startswith("mdgf")
    if rule.n >= rule.m:
        raise ValueError(f"{owner}: n={rule.n} is not less than m={rule.m}")
    if fades == (rule.rate is None):
        raise ValueError(f"{owner}: {rule.recipe} {'needs a' if fades else 'has no'} rate")
    if (rule.end is None and not fades) or (rule.end or rule.begin + 1) <= rule.begin:
        raise ValueError(f"{owner}: end={rule.end} is not after begin={rule.begin}")
    patterns(rule)


def patterns(rule: Any) -> list[Pattern]:
    """The patterns of a recipe in their order, each as N and M."""
    if rule.recipe == "sdgf_geometric":
        return geometric(rule.n, rule.m)
    stages = rule.recipe == "sdgf_stepwise"
    return stepwise(rule.owner(), rule.n, rule.m) if stages else [(rule.n, rule.m)]


def fading(rule: Any, count: jax.Array) -> Any:
    """What pruned weights are multiplied by at a step."""
    if rule.rate is None:
        return 0.0
    done = rule.rate * jnp.maximum(count - rule.begin, 0)
    left = jnp.exp(-done) if rule.recipe == "mdgf_exponential" else jnp.maximum(1 - done, 0)
    return left if rule.end is None else jnp.where(count < rule.end, left, 0)


def stepwise(owner: str, n: int, m: int) -> list[Pattern]:
    """From all but one of M by halves of M to N.

    Raises:
      ValueError: M is not N times a power of two.
    """
    halvings = int(np.log2(m / n))
    if n * 2**halvings != m:
        raise ValueError(f"{owner}: m={m} is not n={n} times a power of two")
    return [(m - 1, m), *((m >> i, m) for i in range(1, halvings + 1))]


def geometric(n: int, m: int) -> list[Pattern]:
    """The same fraction of ever smaller groups."""
    return [(n * k, m * k) for k in (8, 4, 2, 1)]


def kept(rule: Any, count: Any, params: Params) -> Any:
    """The masks of a step, by the sizes that weights have now.

    Groups lie along the axis before the last one. All stages are equally long; before the
    first nothing is pruned, and the pattern of the last stays.

    Args:
      rule: with the pattern, when it begins and ends, and the mask that chooses arrays. None
        chooses those of two or more dimensions that are divided by the largest group.
      count: the step.
      params: the parameters.

    Returns:
      A tree of masks; one True for an array without pattern.

    Raises:
      ValueError: the mask chooses an array without inputs, or one that groups do not divide.
    """
    stages, length = patterns(rule), (rule.end or rule.begin) - rule.begin
    group = max(m for _, m in stages)
    starts = [rule.begin + int(i * length / len(stages)) for i in range(len(stages))]
    stage = sum((count >= start).astype(jnp.int32) for start in starts)

    def leaf(p: Any, weights: bool) -> jax.Array:
        fits = np.ndim(p) > 1 and np.shape(p)[-2] % group == 0
        if not weights or (rule.mask is None and not fits):
            return jnp.ones([], bool)
        if np.ndim(p) < 2:
            raise ValueError(
                f"{rule.owner()}: the mask chooses an array of shape {np.shape(p)}, without inputs"
            )
        size = core.absolute(jnp.asarray(p))
        masks = [functools.partial(n_of_m, size, n, m) for n, m in stages]
        # The stage comes from the count alone, so that the choice stays one under vmap.
        return lax.switch(stage, [lambda: jnp.ones(size.shape, bool), *masks])

    return jax.tree.map(leaf, params, core.weight_arrays(rule.mask, params))
