"""Sharpness-aware minimisation."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from gradlab import core
from gradlab.core import Params, ScalarOrSchedule, Transform, Updates, hyper, static
from gradlab.optimizers.momentum import sgd
from gradlab.wrappers import _ascent


class SamState(NamedTuple):
    """State of `sam`.

    Attributes:
      count: calls of `update` so far.
      inner_state: that of the inner optimizer.
      cache: the parameters before the ascent; None where one call does everything.
      aux: what `grad_fn` returned beside the gradients, uphill; None unless asked for.
    """

    count: Any
    inner_state: Any
    cache: Any
    aux: Any


def _period(value: Any) -> int | None:
    return None if value is None else core.count_at_least(1)(value)


def _shapes(tree: Any) -> Any:
    def leaf(x: Any) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(jnp.shape(x), jnp.result_type(x))

    return core.freeze(jax.tree.map(leaf, core.thaw(tree)))


class Sam(core.Wrapper):
    """Descends with the gradient at the worst place nearby."""

    rho: ScalarOrSchedule = hyper("[0, inf)")
    sync_period: int | None = static(convert=_period)
    has_aux: bool = static(convert=core.flag)
    aux_like: Any = static(convert=_shapes)

    def init(self, params: Params) -> SamState:
        aux = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), core.thaw(self.aux_like))
        cache = None if self.sync_period is None else _ascent.copies(params)
        return SamState(core.step_count(), self.inner.rule.init(params), cache, aux)

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, SamState]:
        if params is None:
            raise ValueError("sam: update needs the parameters: opt.update(grads, state, params)")
        step = self.in_one_call if self.sync_period is None else self.in_several_calls
        return step(updates, state, params, **extra)

    def in_one_call(
        self, updates: Updates, state: Any, params: Params, *, grad_fn: Any, **extra: Any
    ) -> tuple[Updates, SamState]:
        aux = state.aux

        def gradient(place: Params, index: int = 0) -> Updates:
            del index
            nonlocal aux
            if not self.has_aux:
                return grad_fn(place)
            gradients, found = grad_fn(place)
            aux = self.kept(found)
            return gradients

        if updates is None:
            updates = gradient(params)
        rho = core.at(self.rho, state.count)
        uphill = _ascent.within_one_call(
            updates, params, lambda g, p, i: self.ascent(g, rho), gradient, 1
        )
        kept = aux
        updates, inner_state = self.inner.rule.update(
            uphill, state.inner_state, params, grad_fn=gradient, **extra
        )
        return updates, SamState(optax.safe_increment(state.count), inner_state, None, kept)

    def in_several_calls(
        self, updates: Updates, state: Any, params: Params, **extra: Any
    ) -> tuple[Updates, SamState]:
        rho = core.at(self.rho, state.count // self.sync_period)
        gradients = updates
        updates, inner, cache = _ascent.over_several_calls(
            self,
            state.count,
            self.sync_period or 1,
            lambda: (self.ascent(gradients, rho), state.inner_state),
            lambda start: self.inner.rule.update(gradients, state.inner_state, start, **extra),
            params,
            state.cache,
        )
        return updates, SamState(optax.safe_increment(state.count), inner, cache, state.aux)

    def ascent(self, gradients: Updates, rho: Any) -> Updates:
        """A step of length rho along the gradient; none where the gradient is zero."""
        size = core.global_norm(gradients)

        def leaf(h: Any, g: jax.Array) -> jax.Array:
            return h.rho * core.divide(g, size.astype(g.real.dtype))

        (moves,) = self.with_values(rho=rho).each(leaf, gradients)
        return moves

    def kept(self, aux: Any) -> Any:
        """What of `aux` the state holds."""
        like = core.thaw(self.aux_like)
        if like is None:
            return None
        if jax.tree.structure(aux) != jax.tree.structure(like):
            raise ValueError(
                f"sam: grad_fn returned {jax.tree.structure(aux)} beside the gradients; "
                f"aux_like has {jax.tree.structure(like)}"
            )
        return jax.tree.map(lambda x, s: jnp.asarray(x, s.dtype).reshape(s.shape), aux, like)

    def required(self) -> tuple[str, ...]:
        own = ("grad_fn",) if self.sync_period is None else ()
        return tuple(dict.fromkeys(own + super().required()))

    def schedule_counts(self, state: Any) -> dict[str, Any]:
        return {"rho": state.count // (self.sync_period or 1)}


def sam(
    inner: optax.GradientTransformation,
    rho: ScalarOrSchedule = 0.05,
    *,
    sync_period: int | None = None,
    has_aux: bool = False,
    aux_like: Any = None,
) -> Transform:
    r"""SAM steps with the gradient taken a little uphill, where the loss is worst nearby.

    $$\theta \leftarrow \theta - \mathrm{inner}\Big(\nabla L\Big(\theta
    + \rho\,\frac{g}{\lVert g \rVert}\Big)\Big),\quad g = \nabla L(\theta)$$

    By default one call of `update` does all of it: it is handed g and evaluates `grad_fn`
    once, at the place uphill, so that a step costs exactly two gradients. Where gradients
    can only be supplied from outside, `sync_period=2` makes the calls take turns: the first
    moves the parameters uphill, the second brings them back and descends.

    Args:
      inner: the optimizer that descends. It sees the gradients uphill, the parameters
        before the ascent, and all extra arguments.
      rho: length ρ of the ascent [norm of the parameters], in [0, inf), or a schedule of
        the number of descents.
      sync_period: None, or the number of calls that make up one step, the last of which
        descends.
      has_aux: whether `grad_fn` returns a pair of gradients and something else.
      aux_like: what that something looks like: a tree of arrays, or of their shapes. The
        state then holds it as `aux`, of the latest gradient uphill. None: it is dropped.
        Statistics that belong to the parameters themselves, such as a batch norm's, come
        from the gradient that the caller takes.

    Returns:
      The optimizer. State: that of `inner` and a count; with `sync_period` 1 × params more.
      `update(grads, state, params, grad_fn=grad_fn)` calls `grad_fn(params)` once, twice
      for `grads=None`.

    Raises:
      TypeError: `inner` is no transformation, or `grad_fn` is missing.
      ValueError: `rho` outside its range, or no parameters.

    References:
      Foret et al., "Sharpness-Aware Minimization for Efficiently Improving
      Generalization", arXiv:2010.01412v3, Algorithm 1 with p = 2.

    Differs:
      Where the gradient is exactly zero there is no ascent, and its derivative is taken as
      zero; the paper divides by zero. The norm is that of the whole tree, on all devices.

    Example:
      >>> import gradlab as gl, jax
      >>> opt = gl.sam(gl.sgd(0.1), rho=0.5)
      >>> grad_fn = jax.grad(lambda x: x**2)
      >>> update, _ = opt.update(grad_fn(1.0), opt.init(1.0), 1.0, grad_fn=grad_fn)
      >>> float(update)
      -0.30000001192092896
      >>> gl.hyperparameters(opt)
      {'inner.learning_rate': 0.1, 'rho': 0.5}
    """
    return core.build(
        Sam,
        "sam",
        inner=core.adopt_transform(inner, "sam"),
        rho=rho,
        sync_period=sync_period,
        has_aux=has_aux,
        aux_like=aux_like,
    )


Sam.public = staticmethod(sam)

ENTRY = core.Entry(
    sam,
    formula="p -= inner(grad_fn(p + rho * g / |g|))",
    paper=("M090",),
    example={"inner": sgd(0.01)},
    search_space={"rho": (1e-2, 1.0, "log"), "learning_rate": (1e-3, 1.0, "log")},
    needs=("grad_fn",),
    traits=core.Traits(
        elementwise=False,
        smooth=False,
        kinks="The ascent turns round where the gradient passes zero; its derivative there is "
        "taken as zero.",
        gradient_evaluations=2,
    ),
)
