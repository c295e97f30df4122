"""A learned optimizer: a small network that sees each coordinate's history."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from gradlab import core
from gradlab.core import Params, Scalar, ScalarOrSchedule, Updates, hyper
from gradlab.meta.learned._weights import MLP_INPUTS, check_shapes, shipped, size

TIMESCALES = np.array([1, 3, 10, 30, 100, 300, 1e3, 3e3, 1e4, 3e4, 1e5])


class LearnedMLPState(NamedTuple):
    """What the network sees of the past: averages of gradients, and of their squares."""

    count: Any
    mu: tuple
    nu: Any


class LearnedMLPDirection(core.Rule):
    """A direction and its size, by a network that all coordinates share."""

    weights: dict[str, jax.Array] | None = hyper()
    decays: tuple[Scalar, ...] = hyper("[0, 1)")
    b2: Scalar = hyper("[0, 1)")
    magnitude_rate: Scalar = hyper("[0, inf)")
    eps: Scalar = hyper("(0, inf)")

    def present(self) -> core.Transform:
        weights = self.weights
        if weights is None:
            return self.with_values(weights=shipped("learned_mlp")).present()
        n = size(weights, "w0", -1)
        rows = {"w0": (MLP_INPUTS, n), "b0": (n,), "w1": (n, n), "b1": (n,)}
        check_shapes(self.owner(), weights, rows | {"w2": (n, 2), "b2": (2,)})
        if len(self.decays) != 3:
            raise ValueError(f"{self.owner()}: decays={self.decays} are not three, as it was made")
        return super().present()

    def init(self, params: Params) -> LearnedMLPState:
        mu = tuple(core.moments_like(params) for _ in self.decays)
        return LearnedMLPState(core.step_count(), mu, core.moments_like(params))

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, LearnedMLPState]:
        count: Any = optax.safe_increment(state.count)

        def leaf(h: Any, g: jax.Array, *rest: jax.Array) -> tuple:
            *mu, nu, p = rest
            if jnp.iscomplexobj(g) or jnp.iscomplexobj(p):
                raise TypeError("learned_mlp: complex parameters are not supported")
            mu = [core.average(m, g, decay) for m, decay in zip(mu, h.decays, strict=True)]
            nu = core.average(nu, core.abs_sq(g), h.b2)
            second = core.debias(nu, h.b2, count)
            means = [core.debias(m, d, count) for m, d in zip(mu, h.decays, strict=True)]
            parts = [unit(x) for x in (g, *mu, core.sqrt(second))] + [unit(p, h.eps)]
            parts += [x * core.reciprocal_sqrt(second) for x in (g, *means)]
            time = jnp.tanh(count.astype(g.dtype) / jnp.asarray(TIMESCALES, g.dtype) - 1)
            direction, magnitude = network(h.weights, jnp.stack(parts, -1), time)
            return direction * jnp.exp(h.magnitude_rate * magnitude), *mu, nu

        parts = self.each(leaf, updates, *state.mu, state.nu, reads=(self.needed(params),))
        updates, *mu, nu = parts
        return updates, LearnedMLPState(count, tuple(mu), nu)


def unit(x: jax.Array, eps: Any = 0.0) -> jax.Array:
    """The array over the root of its mean square; zero where it is zero."""
    mean = jnp.sum(jnp.square(x)) / max(x.size, 1)
    return x * core.reciprocal_sqrt(mean + eps)


def network(weights: Any, features: jax.Array, time: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Two hidden layers and two outputs for each coordinate; time is the same for all."""
    n = features.shape[-1]
    shared = time @ weights["w0"][n:] + weights["b0"]
    hidden = jnp.tanh(features @ weights["w0"][:n] + shared)
    hidden = jnp.tanh(hidden @ weights["w1"] + weights["b1"])
    both = hidden @ weights["w2"] + weights["b2"]
    return both[..., 0], both[..., 1]


class LearnedMLP(core.Optimizer, LearnedMLPDirection):
    """The learned direction with a learning rate."""


@core.builds(LearnedMLP)
def learned_mlp(
    weights: dict[str, jax.Array] | None = None,
    learning_rate: ScalarOrSchedule = 0.01,
    decays: tuple[Scalar, ...] = (0.9, 0.99, 0.999),
    b2: Scalar = 0.999,
    magnitude_rate: Scalar = 0.1,
    eps: Scalar = 1e-5,
    *,
    weight_decay: ScalarOrSchedule | None = None,
    mask: core.Mask = None,
):
    r"""A learned optimizer: a small network maps each coordinate's features to its update.

    $$\theta \leftarrow \theta - \eta\, d\, e^{\rho a},\quad (d, a) = \mathrm{MLP}_w\left(
    \frac{x}{\mathrm{rms}(x)},\ \frac{m_i}{\sqrt v},\ \frac{g}{\sqrt v},\
    \tanh\left(\frac{t}{\tau_k} - 1\right)\right)$$

    where x stands for the gradient g, its averages m of three decays, the root of the average
    v of its squares, and the parameter; rms is over the array. All coordinates share the
    network, whose weights are leaves: they are meta-trained by any method that takes an
    optimizer (`gl.meta.persistent_evolution_strategies`). Multiplying the loss by a number does
    not change the update.

    The weights that come with the package are those of `python -m gradlab.examples.meta_train`:
    3000 outer steps on noisy quadratics in 16 dimensions and on networks 16-16-10 and 16-16-16-10
    for digits, in runs of 200 steps. Beside Adam, whose learning rate is the best of nine on each
    task itself, the final training loss over five seeds, in units of that at the start, was

    | task | Adam | learned |
    |---|---|---|
    | quadratics of 16 | 0.0009 ± 0.0006 | 0.0004 ± 0.0001 |
    | quadratics of 64 | 0.0070 ± 0.0031 | 0.0032 ± 0.0013 |
    | digits 16-16-10 | 0.154 ± 0.020 | 0.111 ± 0.014 |
    | digits 16-16-16-10 | 0.164 ± 0.008 | 0.157 ± 0.044 |
    | digits 64-10 | 0.040 ± 0.007 | 0.031 ± 0.006 |
    | digits 64-32-10 | 0.037 ± 0.009 | 0.048 ± 0.015 |
    | digits 64-32-32-10 | 0.046 ± 0.013 | 0.203 ± 0.111 |
    | digits 64-32-10, 800 steps | 0.012 ± 0.003 | 0.265 ± 0.108 |

    so it is better on tasks like those, and worse on larger networks and in longer runs.

    Args:
      weights: of the network, as `gl.meta.mlp_weights` makes them: `w0` (21, n), `b0` (n,),
        `w1` (n, n), `b1` (n,), `w2` (n, 2), `b2` (2,). None: the trained ones.
      learning_rate: rate η [parameter units per unit of d], in [0, inf), or a schedule. The
        trained weights are made for its default.
      decays: decays of the three averages of gradients, each in [0, 1).
      b2: decay of the average of squared gradients, in [0, 1).
      magnitude_rate: the rate ρ at which the second output changes the size, in [0, inf).
      eps: added to the mean square of the parameters [squared parameter units], in (0, inf).
      weight_decay: decoupled weight decay [1 / step], in [0, inf), or a schedule.
      mask: what decays: a tree of bools, or a function from params to one.

    Returns:
      The optimizer. State: 4 × params and a count.

    Raises:
      ValueError: a hyperparameter outside its range; weights of other names or shapes; no
        parameters given to `update`.
      TypeError: complex parameters.

    References:
      Metz, Freeman, Harrison, Maheswaranathan and Sohl-Dickstein, "Practical tradeoffs between
      memory, compute, and performance in learned optimizers", arXiv:2203.11860; the authors'
      `AdafacMLPLOpt` and `MLPLOpt` in `learned_optimization`.

    Differs:
      Without the factored second moments of `AdafacMLPLOpt`. Averages are debiased where they
      are divided by the root of v; arrays of gradients are normalised without an eps, so that
      the loss may have any scale; tanh in place of relu; 32 hidden units and ρ = 0.1 in place
      of 4 and 0.001.

    Example:
      >>> import gradlab as gl, jax
      >>> opt = gl.meta.learned_mlp(gl.meta.mlp_weights(jax.random.key(0), hidden=8))
      >>> gl.hyperparameters(opt)["weights['w0']"].shape
      (21, 8)
    """


ENTRY = core.Entry(
    learned_mlp,
    formula="p -= lr * d * exp(rho * a); d, a = MLP(g, mu, nu, p, t)",
    paper=("metz2022practical",),
    # Small steps: finite differences need a loss that is not too curved in the learning rate.
    example={"learning_rate": 1e-3},
    search_space={"learning_rate": (1e-3, 0.1, "log")},
    traits=core.Traits(
        elementwise=False,
        smooth=False,
        kinks="where all gradients of an array are zero: the derivative there is taken as zero",
        complex=False,
    ),
)
