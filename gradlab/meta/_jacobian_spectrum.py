"""How a computation that is unrolled stretches small differences, and what gradients make of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.flatten_util import ravel_pytree

from gradlab import core


class JacobianSpectrum(NamedTuple):
    """What `jacobian_spectrum` found.

    Attributes:
      exponents: the leading Lyapunov exponents, largest first [1 / step].
      growth: the logarithm of the largest singular value of the product of Jacobians up to
        each step, among the directions that were followed; of shape (steps,).
      singular_values: logarithms of the singular values of the whole product, largest first;
        those more than the precision below the largest are rounding.
      limit: the growth that still counts as harmless.
    """

    exponents: jax.Array
    growth: jax.Array
    singular_values: jax.Array
    limit: jax.Array

    @property
    def horizon(self) -> int | None:
        """The first number of steps after which differences have grown beyond the limit."""
        beyond = np.flatnonzero(~(np.asarray(self.growth) <= np.log(self.limit)))
        return int(beyond[0]) + 1 if len(beyond) else None

    @property
    def useless(self) -> bool:
        """Whether the gradient of the whole unroll is of no use, for it has exploded."""
        return self.horizon is not None and float(self.exponents[0]) > 0

    @property
    def vanishes(self) -> bool:
        """Whether the last state has forgotten the first one."""
        return float(self.growth[-1]) < -math.log(self.limit)

    @property
    def verdict(self) -> str:
        """The same in plain words."""
        steps, rate = len(self.growth), float(self.exponents[0])
        whole = float(self.growth[-1])
        seen = f"a small difference is multiplied by e^{rate:.3g} a step, by e^{whole:.3g}"
        seen += f" in {steps} steps"
        if not np.all(np.asarray(self.growth) < np.inf):
            return "the gradient of this unroll is useless: it is not finite"
        if self.useless:
            return (
                f"the gradient of this unroll is useless: {seen}. Truncate to fewer than "
                f"{self.horizon} steps, or use persistent evolution strategies"
            )
        if self.horizon is not None:
            return (
                f"the gradient of this unroll grows, but not for good: {seen}, more than "
                f"{self.limit:g} at step {self.horizon}. Check it against evolution strategies"
            )
        if self.vanishes:
            return (
                f"the gradient of this unroll can be used, but it does not reach its beginning: "
                f"{seen}. What acts through the first states alone is not seen"
            )
        return f"the gradient of this unroll can be used: {seen}"


def jacobian_spectrum(
    step: Callable[..., Any],
    state: Any,
    steps: int,
    *,
    inputs: Any = None,
    directions: int | None = None,
    limit: float = 1e3,
    key: jax.Array | None = None,
) -> JacobianSpectrum:
    r"""Says how the product of an unroll's Jacobians grows, and whether its gradient is of use.

    $$s_{t+1} = f(s_t),\quad J_t = \frac{\partial f}{\partial s}(s_t),\quad
    Q_{t+1} R_{t+1} = J_t Q_t,\quad \lambda_i = \frac1T \sum_t \log |(R_t)_{ii}|$$

    The gradient of a loss of the last state contains the product of all Jacobians. Where the
    leading exponent λ₁ is positive the unroll is chaotic: gradients grow like e^{λ₁ T}, their
    variance over data like its square, and they no longer say where the loss falls. The verdict
    is that the gradient is useless where λ₁ > 0 and the largest singular value of the product
    exceeds `limit` somewhere on the way. A rise that is over again, as of a momentum that swings,
    is told of, too.

    Args:
      step: state -> state, or (state, input) -> state where there are inputs: one step of
        training, of a recurrent network, of a simulation. Hyperparameters are part of it.
      state: the first state, a tree. Leaves that are no real numbers (counts, keys) go along.
      steps: how many, at least 1.
      inputs: a tree with a leading axis of steps, such as batches.
      directions: how many directions are followed, at least 1. None: all of a state of up to 32
        numbers, else 8. Each costs one forward derivative a step; nothing is stored.
      limit: the factor by which a difference may grow [factor], above 1. The default leaves four
        digits of single precision.
      key: of the random directions to start with. None: that of seed 0.

    Returns:
      A `JacobianSpectrum` with the property `verdict`, in words.

    Raises:
      ValueError: a number outside its range; a state without real numbers; inputs of another
        length.
      TypeError: a step that changes structure, shapes or dtypes of the state.

    References:
      Metz, Freeman, Schoenholz and Kachman, "Gradients are Not All You Need",
      arXiv:2111.05803v2 (the spectrum of the Jacobian as the cause and the criterion). The
      exponents by QR are those of Benettin, Galgani, Giorgilli and Strelcyn, Meccanica 15, 1980.

    Differs:
      The paper looks at eigenvalues; singular values bound what a gradient can grow by, and the
      two rates agree in the long run. The limit is ours.

    Example:
      >>> import gradlab as gl
      >>> calm = gl.meta.jacobian_spectrum(lambda x: 2.9 * x * (1 - x), 0.3, 100)
      >>> wild = gl.meta.jacobian_spectrum(lambda x: 3.9 * x * (1 - x), 0.3, 100)
      >>> calm.useless, wild.useless
      (False, True)
    """
    _check(steps, inputs, directions, limit)
    advance, flat = _flat_step(step, state)
    n = flat[0].size
    if n == 0:
        raise ValueError("jacobian_spectrum: the state holds no real numbers")
    k = min(n, directions or (n if n <= 32 else 8))
    key = jax.random.key(0) if key is None else key
    start = jnp.linalg.qr(jax.random.normal(key, (n, k), flat[0].dtype))[0]

    def body(carry: Any, given: Any) -> Any:
        point, q, product, scale, total = carry
        moved, push, rest = jax.linearize(
            lambda x: advance(x, point[1], given), point[0], has_aux=True
        )
        q, r = jnp.linalg.qr(jax.vmap(push, 1, 1)(q))
        diagonal = jnp.log(jnp.abs(jnp.diagonal(r)))
        # The product is kept near one in size; the rest of its size is a logarithm.
        product = r @ product
        size = jnp.linalg.norm(product, 2)
        product, scale = core.divide(product, size), scale + jnp.log(size)
        return ((moved, rest), q, product, scale, total + diagonal), scale

    zero = jnp.zeros([], flat[0].dtype)
    carry = (flat, start, jnp.eye(k, dtype=zero.dtype), zero, jnp.zeros(k, zero.dtype))
    (_, _, product, scale, total), growth = lax.scan(body, carry, inputs, length=steps)
    singular = jnp.log(jnp.linalg.svd(product, compute_uv=False)) + scale
    exponents = jnp.sort(total / steps, descending=True)
    return JacobianSpectrum(exponents, growth, singular, jnp.asarray(limit, zero.dtype))


def _check(steps: Any, inputs: Any, directions: Any, limit: Any) -> None:
    for name, value in (("steps", steps), ("directions", directions)):
        try:
            core.optional(core.count_at_least(1))(value)
        except (TypeError, ValueError) as error:
            raise type(error)(f"jacobian_spectrum: {name}={value!r}: {error}") from None
    if not limit > 1:
        raise ValueError(f"jacobian_spectrum: limit={limit} is outside (1, inf)")
    for path, leaf in jax.tree_util.tree_leaves_with_path(inputs):
        if not np.shape(leaf) or np.shape(leaf)[0] != steps:
            where = jax.tree_util.keystr(path)
            raise ValueError(
                f"jacobian_spectrum: inputs{where} has the shape {np.shape(leaf)}, expected a "
                f"leading axis of {steps} steps"
            )


def _flat_step(step: Callable[..., Any], state: Any) -> tuple[Callable[..., Any], Any]:
    """A step of a vector of real numbers and of the leaves that go along."""
    leaves, treedef = jax.tree.flatten(jax.tree.map(jnp.asarray, state))
    real = [jnp.issubdtype(x.dtype, jnp.floating) for x in leaves]
    vector, unravel = ravel_pytree([x for x, is_real in zip(leaves, real, strict=True) if is_real])

    def split(state: Any) -> Any:
        new, other = jax.tree.flatten(state)
        shapes = [(jnp.shape(x), jnp.result_type(x)) for x in new]
        if other != treedef or shapes != [(x.shape, x.dtype) for x in leaves]:
            raise TypeError("jacobian_spectrum: step changes structure, shapes or dtypes")
        numbers = ravel_pytree([x for x, is_real in zip(new, real, strict=True) if is_real])[0]
        return numbers, [x for x, is_real in zip(new, real, strict=True) if not is_real]

    def advance(vector: jax.Array, rest: list, given: Any) -> Any:
        numbers, others = iter(unravel(vector)), iter(rest)
        state = treedef.unflatten([next(numbers if is_real else others) for is_real in real])
        return split(step(state) if given is None else step(state, given))

    return advance, (vector, [x for x, is_real in zip(leaves, real, strict=True) if not is_real])
