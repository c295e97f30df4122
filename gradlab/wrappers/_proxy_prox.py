"""Proximal steps on a cheap proxy, put right by one gradient of the objective."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from gradlab import core
from gradlab.core import Params, ScalarOrSchedule, Updates, hyper, static
from gradlab.optimizers.momentum import sgd
from gradlab.wrappers._several_steps import SeveralSteps


class ProxyProxState(NamedTuple):
    """State of `proxy_prox`.

    Attributes:
      count: steps so far.
      inner_state: that of the inner optimizer.
    """

    count: Any
    inner_state: Any


class ProxyProx(SeveralSteps):
    """Minimises a proxy with the slope of the objective, near the parameters."""

    needs = ("proxy_grad_fn",)
    eta: ScalarOrSchedule = hyper("(0, inf)")
    inner_steps: int = static(convert=core.count_at_least(1))

    def init(self, params: Params) -> ProxyProxState:
        return ProxyProxState(core.step_count(), self.inner.rule.init(params))

    def update(
        self,
        updates: Updates,
        state: Any,
        params: Params | None = None,
        *,
        proxy_grad_fn: Any = None,
        **extra: Any,
    ) -> tuple[Updates, ProxyProxState]:
        params = self.needed(params)
        now = self.with_values(eta=core.at(self.eta, state.count))
        slopes = proxy_grad_fn(params)

        def gradient_at(place: Params, _: Any) -> Updates:
            def leaf(h: Any, g: Any, here: Any, there: Any, p: Any, y: Any) -> jax.Array:
                return g + (there - here) + (y - p) / h.eta

            reads = (slopes, proxy_grad_fn(place), params, place)
            return now.each(leaf, updates, reads=reads)[0]

        moves, inner_state = self.walk(
            updates, gradient_at, jnp.arange(self.inner_steps), state.inner_state, params, **extra
        )
        return moves, ProxyProxState(optax.safe_increment(state.count), inner_state)


@core.builds(ProxyProx)
def proxy_prox(
    inner: optax.GradientTransformation, eta: ScalarOrSchedule = 1.0, inner_steps: int = 10
):
    r"""ProxyProx walks on a cheap proxy of the objective, with one gradient of the objective.

    $$\theta \leftarrow \arg\min_y\ h(y) + \langle \nabla f(\theta) - \nabla h(\theta), y\rangle
    + \frac{1}{2\eta} \lVert y - \theta \rVert^2$$

    by m steps of `inner` from θ. What counts is how smooth the difference f − h is, not the
    objective f: with the curvature of f in the proxy h, η can be much larger than a learning
    rate. h = f makes a proximal step on f, h = 0 gradient descent with learning rate η.

    `update(grads, state, params, proxy_grad_fn=proxy_grad_fn)` is handed ∇f(θ), of a batch
    say, and calls `proxy_grad_fn(params)`.

    Args:
      inner: the optimizer on the proxy. Its state goes on from step to step.
      eta: step size η of the proximal step [learning rate], in (0, inf), or a schedule of the
        steps. Less than the inverse of the smoothness of f − h.
      inner_steps: number m of steps on the proxy, at least 1. 1 is `inner` on the objective.

    Returns:
      The optimizer. State: that of `inner` and a count. A step costs the gradient that is
      handed in, and m gradients of the proxy.

    Raises:
      TypeError: `inner` is no transformation, or `proxy_grad_fn` is missing.
      ValueError: a hyperparameter outside its range, no parameters, or an inner optimizer
        that needs the value of the loss.

    References:
      Woodworth, Mishchenko and Bach, "Two Losses Are Better Than One: Faster Optimization
      Using a Cheaper Proxy", arXiv:2302.03542, ProxyProx.

    Differs:
      The number of inner steps is fixed; the paper stops by a criterion.

    Example:
      >>> import gradlab as gl, jax
      >>> opt = gl.proxy_prox(gl.sgd(0.25), eta=1.0, inner_steps=30)
      >>> grad_fn = jax.grad(lambda x: x**2)
      >>> update, _ = opt.update(grad_fn(3.0), opt.init(3.0), 3.0, proxy_grad_fn=grad_fn)
      >>> print(f"{3.0 + update:.4f}")
      1.0000
    """


def _half_a_square(params: Params, given: dict[str, Any]) -> dict[str, Any]:
    del params, given
    return {"proxy_grad_fn": lambda place: jax.tree.map(lambda x: x / 2, place)}


ENTRY = core.Entry(
    proxy_prox,
    formula="q = p; q += inner(g + proxy(q) - proxy(p) + (q - p) / eta) m times; p = q",
    paper=("M078",),
    example={"inner": sgd(0.01), "eta": 0.5, "inner_steps": 3},
    search_space={"eta": (1e-2, 10.0, "log"), "learning_rate": (1e-3, 1.0, "log")},
    needs=("proxy_grad_fn",),
    traits=core.Traits(
        temporaries="The steps on the proxy are a loop, which carries how far it has come and "
        "reads the gradients in each turn.",
    ),
    extra=_half_a_square,
)
