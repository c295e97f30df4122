"""Fish: a walk through the domains, and a step towards where it leads."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from gradlab import core
from gradlab.core import Params, ScalarOrSchedule, Updates, hyper, static
from gradlab.optimizers.momentum import sgd
from gradlab.wrappers._several_steps import SeveralSteps


class FishState(NamedTuple):
    """State of `fish`.

    Attributes:
      count: steps so far.
      inner_state: that of the inner optimizer.
      key: the random key, as raw words.
      domains: the numbers of the domains.
    """

    count: Any
    inner_state: Any
    key: Any
    domains: Any

    @property
    def order(self) -> jax.Array:
        """The order in which the next step goes through the domains."""
        return jax.random.permutation(core.fusible(self.key), self.domains)


class Fish(SeveralSteps):
    """Takes one inner step on each domain, in random order."""

    needs = ("domain_grad_fn",)
    rate: ScalarOrSchedule = hyper("[0, inf)")
    domains: int = static(convert=core.count_at_least(1))
    key: int | tuple[int, ...] | None = static(convert=core.seed_or_words)

    def init(self, params: Params) -> FishState:
        inner_state, key = self.inner.rule.init(params), core.initial_key(self.key)
        return FishState(core.step_count(), inner_state, key, jnp.arange(self.domains))

    def update(
        self,
        updates: Updates,
        state: Any,
        params: Params | None = None,
        *,
        domain_grad_fn: Any = None,
        **extra: Any,
    ) -> tuple[Updates, FishState]:
        params, order = self.needed(params), state.order
        gradient_at, inner_state = domain_grad_fn, state.inner_state
        first = gradient_at(params, order[0]) if updates is None else updates
        moves, inner_state = self.walk(first, gradient_at, order, inner_state, params, **extra)
        now = self.with_values(rate=core.at(self.rate, state.count))
        (steps,) = now.each(lambda h, m: h.rate * m, moves)
        count, (key, _) = optax.safe_increment(state.count), jax.random.split(state.key)
        return steps, FishState(count, inner_state, key, state.domains)


@core.builds(Fish)
def fish(
    inner: optax.GradientTransformation,
    domains: int,
    rate: ScalarOrSchedule = 0.5,
    *,
    key: jax.Array | int | tuple[int, ...],
):
    r"""Fish aligns the gradients of several domains, without second derivatives.

    $$\tilde\theta_0 = \theta,\quad \tilde\theta_i = \tilde\theta_{i-1}
    + \mathrm{inner}\big(\nabla L_{\pi(i)}(\tilde\theta_{i-1})\big),\quad
    \theta \leftarrow \theta + \varepsilon\,(\tilde\theta_S - \theta)$$

    with a new random order π of the S domains in every step. Around gradient descent this
    maximises, to first order, the inner products of the gradients of different domains beside
    descending on all.

    `update(grads, state, params, domain_grad_fn=f)` calls `f(params, domain)` with the number of
    a domain from 0 to S - 1, a traced integer; `grads` are those of the domain that comes first,
    `f(params, state.order[0])`, or None.

    Args:
      inner: the optimizer of the walk, one step on each domain. Its state goes on from step
        to step.
      domains: number S of domains, at least 1.
      rate: part ε of the walk that the parameters follow, in [0, inf), or a schedule of the
        steps. 1 with one domain is `inner`.
      key: a random key, or a seed, that decides the orders and so is no hyperparameter.

    Returns:
      The optimizer. State: that of `inner`, a key, and S + 1 integers. A step costs S
      gradients, each of one domain, with the one that is handed in.

    Raises:
      TypeError: `inner` is no transformation, `domain_grad_fn` is missing, or the key is traced.
      ValueError: a hyperparameter outside its range, no parameters, or an inner optimizer
        that needs the value of the loss.

    References:
      Shi, Seely, Torr, Siddharth, Hannun, Usunier and Synnaeve, "Gradient Matching for Domain
      Generalization", arXiv:2104.09937v3, Fish; the authors' `train_fish`.

    Differs:
      All domains are visited in each step; the authors' code can sample some of them. It
      divides ε by S, and can begin each walk with a fresh inner optimizer.

    Example:
      >>> import gradlab as gl, jax, jax.numpy as jnp
      >>> targets = jnp.array([1.0, 2.0])
      >>> grad_fn = jax.grad(lambda x, domain: (x - targets[domain]) ** 2)
      >>> opt = gl.fish(gl.sgd(0.5), domains=2, rate=0.5, key=0)
      >>> update, state = opt.update(None, opt.init(0.0), 0.0, domain_grad_fn=grad_fn)
      >>> float(update) == 0.5 * float(targets[opt.init(0.0).order[1]])
      True
    """


def _domains(params: Params, given: dict[str, Any]) -> dict[str, Any]:
    del params

    def grad_fn(place: Params, domain: jax.Array) -> Updates:
        return jax.tree.map(lambda g: g + g * (domain / 4).astype(g.dtype), given["grad_fn"](place))

    return {"domain_grad_fn": grad_fn}


ENTRY = core.Entry(
    fish,
    formula="q = p; q += inner(domain_grad_fn(q, i)) for i in random order; p += rate * (q - p)",
    paper=("M030",),
    example={"inner": sgd(0.005), "domains": 3, "key": 0},
    search_space={"rate": (0.05, 1.0, "log"), "learning_rate": (1e-3, 1.0, "log")},
    needs=("domain_grad_fn",),
    traits=core.Traits(elementwise=False, stochastic=True, gradient_evaluations=3),
    extra=_domains,
)
