"""Gaussian noise on gradients, annealed."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from gradlab import core
from gradlab.core import Params, Scalar, Updates, hyper, static


class AddNoise(core.Rule):
    """Adds normal noise whose variance falls with the steps."""

    eta: Scalar = hyper("[0, inf)")
    gamma: Scalar = hyper("[0, inf)")
    key: int | tuple[int, ...] | None = static(convert=core.seed_or_words)
    seed: int | tuple[int, ...] | None = static(default=None, convert=core.seed_or_words)

    def present(self) -> core.Transform:
        if self.key is not None and self.seed is not None:
            raise ValueError("add_noise: give a key or a seed, not both")
        return super().present()

    def init(self, params: Params) -> optax.AddNoiseState:
        source = self.key if self.seed is None else self.seed
        return optax.AddNoiseState(core.step_count(), core.initial_key(source))

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, optax.AddNoiseState]:
        count: Any = optax.safe_increment(state.count)
        key, sample = jax.random.split(state.rng_key)
        (wide,) = self.each(lambda h, g: g, updates)
        noise = optax.tree.random_like(core.fusible(sample), wide, jax.random.normal)
        deviation = core.sqrt(jnp.asarray(self.eta / count**self.gamma))

        def leaf(h: Any, g: jax.Array, z: jax.Array) -> jax.Array:
            return g + deviation.astype(z.real.dtype) * z

        (updates,) = self.each(leaf, wide, reads=(noise,))
        return updates, optax.AddNoiseState(count, key)


@core.builds(AddNoise)
def add_noise(
    eta: Scalar, gamma: Scalar, key: jax.Array | int | None = None, *, seed: int | None = None
):
    r"""Adds normal noise to gradients, with a variance that falls with the steps.

    $$g \leftarrow g + \sigma_t z,\quad z \sim \mathcal N(0, 1),\quad
    \sigma_t^2 = \frac{\eta}{(1 + t)^\gamma}$$

    with t = 0 at the first step. The numbers come from the key in the state; an extra
    argument `key` of `update` is not read.

    Args:
      eta: variance η at the first step [squared gradient units], in [0, inf).
      gamma: exponent γ of its decay, in [0, inf); 0 keeps it constant.
      key: a random key, or a seed; 0 if neither this nor `seed` is given. It decides the
        state's first key and so is no hyperparameter.
      seed: the same as `key`.

    Returns:
      The transformation. State: a count and a key, as raw numbers.

    Raises:
      ValueError: a hyperparameter outside its range; both a key and a seed.
      TypeError: a traced key.

    References:
      Neelakantan, Vilnis, Le, Sutskever, Kaiser, Kurach and Martens, "Adding Gradient Noise
      Improves Learning for Very Deep Networks", arXiv:1511.06807v1, equation 1.

    Differs:
      From optax in the form of the key alone: there it is typed. A state with a typed key
      works here, and gives the same numbers.

    Example:
      >>> import gradlab as gl
      >>> gl.add_noise(0.01, 0.55, seed=7)
      add_noise(eta=0.01, gamma=0.55, seed=7)
    """


ENTRY = core.Entry(
    add_noise,
    formula="g += sqrt(eta / (1 + t)**gamma) * normal()",
    paper=("M045",),
    example={"eta": 0.01, "gamma": 0.55, "key": 0},
    search_space={"eta": (1e-3, 1.0, "log")},
    traits=core.Traits(stochastic=True),
)
