"""FOSI: Newton steps where the curvature is extreme, the inner optimizer across."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from gradlab import core
from gradlab.core import Params, Scalar, ScalarOrSchedule, Updates, hyper, static
from gradlab.optimizers.momentum import sgd
from gradlab.wrappers._extreme_curvature import extreme_curvature, within
from gradlab.wrappers._turns import either


class FosiState(NamedTuple):
    """State of `fosi`.

    Attributes:
      count: steps so far.
      inner_state: that of the inner optimizer.
      mu: the average of the part of the gradients inside the span.
      curvatures: eigenvalues, ascending, the smallest before the largest; zero before the
        first estimate.
      directions: their eigenvectors, a tree like the parameters with a leading axis.
    """

    count: Any
    inner_state: Any
    mu: Any
    curvatures: Any
    directions: Any


def _or_none(low: int) -> Any:
    return lambda value: None if value is None else core.count_at_least(low)(value)


class Fosi(core.Wrapper):
    """Splits the space where the Hessian says."""

    needs = ("grad_fn",)
    alpha: ScalarOrSchedule = hyper("[0, inf)")
    b1: Scalar = hyper("[0, 1)")
    max_scale: Scalar = hyper("[1, inf)")
    largest: int = static(convert=core.count_at_least(1))
    smallest: int = static(convert=core.count_at_least(0))
    every: int = static(convert=core.count_at_least(1))
    warmup: int | None = static(convert=_or_none(0))
    order: int | None = static(convert=_or_none(1))
    key: int | tuple[int, ...] | None = static(convert=core.seed_or_words)

    def init(self, params: Params) -> FosiState:
        if any(map(jnp.iscomplexobj, jax.tree.leaves(params))):
            raise TypeError("fosi: the curvature of complex parameters is not a real matrix")
        mu, rows = core.moments_like(params), self.largest + self.smallest
        directions = jax.tree.map(lambda m: jnp.stack([m] * rows), mu)
        dtype = core.compute_dtype(*jax.tree.leaves(mu), jnp.float32(0))
        inner_state = self.inner.rule.init(params)
        return FosiState(core.step_count(), inner_state, mu, jnp.zeros(rows, dtype), directions)

    def update(
        self,
        updates: Updates,
        state: Any,
        params: Params | None = None,
        *,
        grad_fn: Any = None,
        **extra: Any,
    ) -> tuple[Updates, FosiState]:
        params = self.needed(params)
        (gradients,) = self.each(lambda h, g, p: g, updates, reads=(params,))
        curvatures, directions = self.estimate(state, params, grad_fn)
        now = self.with_values(alpha=core.at(self.alpha, state.count))

        inside = within(directions, gradients)
        (outside,) = self.each(lambda h, g, i: g - i, gradients, reads=(inside,))
        _, mu = self.each(lambda h, i, m: (i, core.average(m, i, h.b1)), inside, state.mu)
        newton = within(directions, mu, core.divide(1.0, jnp.abs(curvatures)))
        steps, inner_state = self.inner.rule.update(
            outside, state.inner_state, params, grad_fn=grad_fn, **extra
        )
        again = within(directions, steps)
        steepness = core.divide(curvatures[-1], curvatures[self.smallest])

        def leaf(h: Any, u: jax.Array, a: jax.Array, n: jax.Array) -> jax.Array:
            scale = jnp.clip(steepness.astype(u.dtype), 1.0, h.max_scale)
            return scale * (u - a) - h.alpha * n

        (steps,) = now.each(leaf, steps, reads=(again, newton))
        count = optax.safe_increment(state.count)
        return steps, FosiState(count, inner_state, mu, curvatures, directions)

    def estimate(self, state: Any, params: Params, grad_fn: Any) -> tuple[Any, Any]:
        """The eigenpairs of this step: at every so many, they are found anew."""
        if not sum(jnp.size(p) for p in jax.tree.leaves(params)):
            return state.curvatures, state.directions
        since = state.count - (self.every if self.warmup is None else self.warmup)
        numbers, key = (self.largest, self.smallest, self.order), core.initial_key(self.key)

        def anew() -> tuple[Any, Any]:
            found = extreme_curvature(grad_fn, params, state.directions, *numbers, key)
            return found[0].astype(state.curvatures.dtype), found[1]

        now = (since >= 0) & (since % self.every == 0)
        return either(now, anew, lambda: (state.curvatures, state.directions))


@core.builds(Fosi)
def fosi(
    inner: optax.GradientTransformation,
    alpha: ScalarOrSchedule = 0.1,
    b1: Scalar = 0.0,
    max_scale: Scalar = 3.0,
    *,
    largest: int = 5,
    smallest: int = 0,
    every: int = 100,
    warmup: int | None = None,
    order: int | None = None,
    key: jax.Array | int | tuple[int, ...] = 0,
):
    r"""FOSI takes Newton steps where curvature is extreme, and the inner optimizer's across.

    $$g_1 = V V^\top g,\quad \mu \leftarrow \beta_1 \mu + (1 - \beta_1)\,g_1,\quad
    u = \mathrm{inner}(g - g_1),\quad \theta \leftarrow \theta
    - \alpha\,V\,|\Lambda|^{-1} V^\top \mu + s\,(u - V V^\top u)$$

    where Λ and V are the k largest and ℓ smallest eigenvalues of the Hessian and their
    vectors, found anew every T steps by Lanczos' method, and s is the ratio of the largest
    and the k-th largest of them: across V, curvature is so much less, and the inner
    optimizer can take larger steps.

    Args:
      inner: the optimizer of what is not in the span of V. It sees the gradient there, the
        parameters, and all extra arguments. Its weight decay is not in the Hessian: put it
        into the loss.
      alpha: length α of the Newton steps, in [0, inf), or a schedule of the steps. 1 is
        Newton's method.
      b1: decay β₁ of the average of gradients in the span [weight per step], in [0, 1).
        Around Adam, the authors take Adam's.
      max_scale: the most that s may be, in [1, inf). Take 1 around optimizers whose steps do
        not grow with the gradient, such as Adam.
      largest: number k of largest eigenvalues, at least 1.
      smallest: number ℓ of smallest eigenvalues, at least 0.
      every: number T of steps between estimates, at least 1.
      warmup: number of steps that the inner optimizer takes alone before the first estimate,
        at least 0. None: T.
      order: number of vectors that Lanczos' method finds for an estimate. None: 4 (k + ℓ), and
        at least 2 log n for n parameters. Never more than n, nor less than k + ℓ.
      key: a random key, or a seed, for the vectors that Lanczos' method begins with. It is
        part of the structure; every estimate begins with the same vectors.

    Returns:
      The optimizer. State: that of `inner`, (k + ℓ + 1) × params, k + ℓ numbers and a count.
      A step costs one gradient, and at every T-th step `order` + 1 Hessian-vector products
      more, by forward differentiation of `grad_fn`.

    Raises:
      TypeError: `inner` is no transformation, `grad_fn` is missing, or parameters are complex.
      ValueError: a hyperparameter outside its range, or no parameters.

    References:
      Sivan, Gabel and Schuster, "FOSI: Hybrid First and Second Order Optimization",
      arXiv:2302.08484v4; the authors' `fosi` (JAX), of which b1, max_scale, order and warmup
      are.

    Differs:
      From the authors' code in that the inner optimizer gets a tree, not one vector; that
      Lanczos' method begins with a random vector times the Hessian, so that parameters without
      curvature are in no direction, and goes on where the space is invariant; that nothing
      moves along a direction without curvature, where they divide by zero; that estimates are
      made in float32 unless parameters are wider; that the first is made after T steps, not
      T - 1.
      Their heavy-ball sum of g₁ is our average with `alpha` divided by `1 - b1`.

    Example:
      >>> import gradlab as gl, jax, jax.numpy as jnp
      >>> grad_fn = jax.grad(lambda x: 50 * x[0] ** 2 + x[1] ** 2)
      >>> opt = gl.fosi(gl.sgd(0.1), alpha=1.0, max_scale=1.0, largest=1, warmup=0)
      >>> x = jnp.ones(2)
      >>> updates, _ = opt.update(grad_fn(x), opt.init(x), x, grad_fn=grad_fn)
      >>> [round(u, 4) for u in updates.tolist()]
      [-1.0, -0.2]
    """


ENTRY = core.Entry(
    fosi,
    formula="p -= alpha * V (mu @ V) / |curvature|; p += s * (u - V V.T u), u = inner(g - V V.T g)",
    paper=("M055",),
    example={
        "inner": sgd(0.01),
        "alpha": 0.02,
        "b1": 0.5,
        "max_scale": 1.1,
        "largest": 3,
        "every": 5,
        "warmup": 0,
        "order": 8,
    },
    search_space={
        "alpha": (1e-2, 1.0, "log"),
        "b1": (0.0, 0.95, "linear"),
        "max_scale": (1.0, 5.0, "linear"),
        "learning_rate": (1e-3, 1.0, "log"),
    },
    needs=("grad_fn",),
    traits=core.Traits(elementwise=False, complex=False, gradient_evaluations=2.8),
)
