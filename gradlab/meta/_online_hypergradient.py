"""Tuning while training: a hypergradient through the last few steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from gradlab import core
from gradlab.core import Interval, Params, Transform, static
from gradlab.meta._arguments import checked_count
from gradlab.meta._online_choice import Choice, Pattern, chosen, hyper_leaves
from gradlab.meta._unroll import unroll


class OnlineState(NamedTuple):
    """A training whose hyperparameters move.

    Attributes:
      params: the parameters.
      opt_state: the state of the optimizer that is tuned.
      coordinates: where the tuned hyperparameters are, by path.
      outer_state: the state of the optimizer that tunes them.
    """

    params: Any
    opt_state: Any
    coordinates: dict[str, jax.Array]
    outer_state: Any


class OnlineReport(NamedTuple):
    """What one step of tuning saw.

    Attributes:
      losses: the training loss before each inner step, of shape `[inner steps]`.
      validation_loss: after the last of them, a scalar.
      gradient: of the validation loss in the coordinates, by path.
    """

    losses: jax.Array
    validation_loss: jax.Array
    gradient: dict[str, jax.Array]


class OnlineHypergradient(core.Data):
    """Trains, and tunes what it trains with; see `online_hypergradient`."""

    opt: Transform
    outer: Transform
    hyper: Any
    loss: Callable[..., Any] = static()
    validation_loss: Callable[..., Any] = static()
    choice: tuple[Choice, ...] = static()
    horizon: int | None = static()
    memory: str | int = static()

    def init(self, params: Params) -> OnlineState:
        """The state before the first step, with the hyperparameters as they were given."""
        leaves = hyper_leaves(self.opt, self.hyper)
        start = {one.path: one.coordinate.of(leaves[one.path]) for one in self.choice}
        opt_state = self._put(start)[0].init(params)
        return OnlineState(params, opt_state, start, self.outer.init(start))

    def restart(self, state: OnlineState, params: Params) -> OnlineState:
        """A new training from `params`, with the hyperparameters found so far."""
        opt, _ = self.current(state)
        return state._replace(params=params, opt_state=opt.init(params))

    def current(self, state: OnlineState) -> tuple[Transform, Any]:
        """The optimizer and the hyperparameters of the loss as they are now."""
        return self._put(state.coordinates)

    def values(self, state: OnlineState) -> dict[str, jax.Array]:
        """The tuned hyperparameters as they are now, by path."""
        leaves = hyper_leaves(*self.current(state))
        return {one.path: leaves[one.path] for one in self.choice}

    def step(
        self, state: OnlineState, batches: Any, validation_batch: Any
    ) -> tuple[OnlineState, OnlineReport]:
        """Some steps of training, then one of tuning.

        Args:
          state: from `init` or `step`.
          batches: of the inner steps, a tree whose leaves have a leading axis of them.
          validation_batch: what `validation_loss` is evaluated on after the last one.

        Returns:
          The new state, and what was seen.
        """

        def after(coordinates: Any) -> tuple[jax.Array, Any]:
            opt, hyper = self._put(coordinates)
            more = () if hyper is None else (hyper,)
            run = unroll(
                opt,
                lambda p, batch: self.loss(p, batch, *more),
                state.params,
                batches,
                state=state.opt_state,
                memory=self.memory,
                truncation=self.horizon,
            )
            return self.validation_loss(run.params, validation_batch, *more), run

        (value, run), gradient = jax.value_and_grad(after, has_aux=True)(state.coordinates)
        steps, outer_state = self.outer.update(
            gradient,
            state.outer_state,
            state.coordinates,
            value=value,
            grad=gradient,
            value_fn=lambda coordinates: after(coordinates)[0],
        )
        moved: Any = optax.apply_updates(state.coordinates, steps)
        inside = {one.path: one.coordinate.inside(moved[one.path]) for one in self.choice}
        report = OnlineReport(run.losses, value, gradient)
        return OnlineState(run.params, run.state, inside, outer_state), report

    def run(
        self, state: OnlineState, batches: Any, validation_batches: Any
    ) -> tuple[OnlineState, OnlineReport]:
        """`step` for each entry of one more leading axis of both kinds of batches, as one scan."""
        return jax.lax.scan(lambda s, xs: self.step(s, *xs), state, (batches, validation_batches))

    def _put(self, coordinates: dict[str, jax.Array]) -> tuple[Transform, Any]:
        leaves, treedef = jax.tree.flatten((self.opt, self.hyper))
        moving = {one.path: one.coordinate for one in self.choice}
        paths = hyper_leaves(self.opt, self.hyper)
        for place, path in enumerate(paths):
            if path in moving:
                dtype = _dtype(leaves[place])
                leaves[place] = moving[path].value(coordinates[path], dtype)
        return treedef.unflatten(leaves)


def _dtype(leaf: Any) -> Any:
    return jnp.result_type(float) if isinstance(leaf, float) else jnp.result_type(leaf)


def online_hypergradient(
    opt: optax.GradientTransformation,
    loss: Callable[..., Any],
    validation_loss: Callable[..., Any],
    outer: optax.GradientTransformation,
    *,
    tuned: Pattern | Sequence[Pattern],
    hyper: Any = None,
    ranges: Mapping[str, str | Interval] | None = None,
    linear: Pattern | Sequence[Pattern] = (),
    horizon: int | None = None,
    memory: str | int = "plain",
) -> OnlineHypergradient:
    r"""Tunes hyperparameters during training by the gradient of a validation loss.

    $$\lambda \leftarrow \mathrm{outer}\Big(\lambda,\; \frac{\partial}{\partial \lambda}
    L_\mathrm{val}\big(\theta_{t+k}(\lambda)\big)\Big), \qquad
    \theta_{t+i+1} = \theta_{t+i} + \mathrm{opt}_\lambda\big(\nabla_\theta
    L(\theta_{t+i}, b_{t+i}, \lambda)\big)$$

    The derivative is taken by reverse mode through the last inner steps, parameters and state
    of the optimizer before them held fixed. Training goes on from where it came to.

    A hyperparameter moves in a coordinate in which it cannot leave its range: with one finite
    end the logarithm of the distance to it (a learning rate on `[0, inf)` moves by factors),
    with two the logarithm of the ratio of the distances (`b2` on `[0, 1)` moves by factors of
    $1 - b_2$), with none the value itself. The outer optimizer sees coordinates: its weight
    decay, if it has one, pulls those to zero.

    Args:
      opt: the optimizer that trains. Any of its leaves can be tuned: rates of groups of
        `partition`, knots of schedules.
      loss: `(params, batch)` to a scalar, and `(params, batch, hyper)` where there is `hyper`.
      validation_loss: the same, of the parameters after the inner steps. Where `hyper` is what
        is weighed, it should leave it alone, and may penalise it.
      outer: the optimizer that moves the coordinates, a dict of arrays by path.
      tuned: which hyperparameters, as paths, patterns or functions of path and value that say
        yes or no. Paths are those of `gl.hyperparameters(opt)`, and below `hyper` those of its
        tree, such as `hyper/weights`. In a pattern `*` stands for anything; the last name
        alone, such as `learning_rate`, stands for every path that ends with it.
      hyper: a tree of hyperparameters of the loss: numbers or floating arrays of any shape.
      ranges: pattern to range, as `"(0, inf)"`, for leaves of `hyper`, whose range is unknown,
        and for those of `opt` that should have another one. Later ones win.
      linear: patterns of tuned hyperparameters that move in their own value, and are put back
        onto their range after each step: those that may be zero, such as a weight decay.
      horizon: the derivative goes through this many inner steps, the last ones [steps], at
        least 1. None: all those of a call of `step`.
      memory: of the reverse mode, as for `unroll`.

    Returns:
      The tuner, which is data with `opt`, `outer` and `hyper` as its leaves, and pure methods:
      `init(params)`, `step(state, batches, validation_batch)`, `run` for many of those,
      `restart(state, params)`, and `current(state)` and `values(state)`, the hyperparameters
      found so far. Its state holds parameters, state of the optimizer, and coordinates with the
      state of `outer`.

    Raises:
      ValueError: a pattern matches nothing, or a hyperparameter lies outside of its range or
        on an end of it where its coordinate is infinite; the message names the path.
      TypeError: a tuned hyperparameter is no floating number.

    References:
      Baydin et al., Online Learning Rate Adaptation with Hypergradient Descent,
      arXiv:1703.04782 (ICLR 2018), SGD-HD, SGDN-HD and Adam-HD: one inner step, validated on
      the next batch, tuned by `sgd` in the value itself.

    Differs:
      The paper reuses the gradient of the next step; here a validation costs one evaluation
      and one derivative of its own. The paper's hypergradient holds the state of the optimizer
      before the last step fixed, as here with one inner step. Tuning in coordinates, more
      steps, other hyperparameters and other outer optimizers are additions.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> loss = lambda x, target: jnp.sum((x - target) ** 2)
      >>> tuner = gl.meta.online_hypergradient(
      ...     gl.sgd(0.01), loss, loss, gl.lion(0.1), tuned="learning_rate"
      ... )
      >>> targets = jnp.ones((30, 5, 3))  # 30 steps of tuning, each after 5 of training
      >>> state, report = tuner.run(tuner.init(jnp.zeros(3)), targets, targets[:, 0])
      >>> bool(tuner.values(state)["learning_rate"] > 0.1)
      True
      >>> bool(jnp.abs(state.params - 1).max() < 1e-3)
      True
    """
    opt = core.adopt_transform(opt, "online_hypergradient")
    outer = core.adopt_transform(outer, "online_hypergradient")
    hyper = jax.tree.map(_as_leaf, hyper)
    if horizon is not None:
        horizon = checked_count("online_hypergradient", "horizon", horizon)
    return OnlineHypergradient(
        opt=opt,
        outer=outer,
        hyper=hyper,
        loss=loss,
        validation_loss=validation_loss,
        choice=chosen(opt, hyper, tuned, dict(ranges or {}), linear),
        horizon=horizon,
        memory=memory,
    )


def _as_leaf(x: Any) -> Any:
    return x if isinstance(x, float) else jnp.asarray(x)


def _estimate(method: Callable[..., Any], problem: Any, x: Any, key: Any) -> Any:
    """What the contract's outer variables are tuned by, after a hundred steps of training."""
    del key
    descent = optax.sgd(0.5)
    tuner = method(
        descent, lambda y, _, x: problem.inner(x, y), lambda y, _, x: problem.outer(x, y), descent,
        hyper=x,
    )  # fmt: skip
    start = tuner.init(problem.inner_variables())
    _, report = tuner.step(start, jnp.zeros(100), None)
    found = [report.gradient[path] for path in hyper_leaves(tuner.opt, x)]
    return jax.tree.unflatten(jax.tree.structure(x), found)


ENTRY = core.Entry(
    online_hypergradient,
    formula="lambda = outer(lambda, d L_val(theta_{t+k}(lambda)) / d lambda)",
    paper=("baydin2018online",),
    example={"tuned": "hyper/*"},
    estimate=_estimate,
)
