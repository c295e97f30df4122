"""Complex momentum: a sum of gradients that turns as it decays."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradlab import core
from gradlab.core import Params, Scalar, ScalarOrSchedule, Updates, hyper


class ComplexMomentumState(NamedTuple):
    """The sum of gradients, complex."""

    trace: Any


class ScaleByComplexMomentum(core.Rule):
    """The direction of complex momentum."""

    momentum: Scalar = hyper("[0, 1)")
    momentum_angle: Scalar = hyper()
    learning_rate_angle: Scalar = hyper()

    def init(self, params: Params) -> ComplexMomentumState:
        self.check_real(params)

        def leaf(p: Any) -> jax.Array:
            return core.moments_like(p, jnp.promote_types(core.compute_dtype(p), jnp.complex64))

        return ComplexMomentumState(jax.tree.map(leaf, params))

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, ComplexMomentumState]:
        self.check_real(updates)

        def leaf(h: Any, g: Any, mu: Any) -> tuple:
            mu = h.momentum * unit(h.momentum_angle) * mu + g
            return (unit(h.learning_rate_angle) * mu).real, mu

        updates, trace = self.each(leaf, updates, state.trace)
        return updates, ComplexMomentumState(trace)

    def check_real(self, tree: Any) -> None:
        """Refuses complex arrays, which have no use for a real part."""
        if any(map(jnp.iscomplexobj, jax.tree.leaves(tree))):
            raise TypeError(
                f"{self.owner()}: parameters and gradients have to be real, not complex; "
                "optax.contrib.split_real_and_imaginary around it gives both parts a buffer"
            )


def unit(angle: Any) -> Any:
    """The complex number of absolute value one at an angle."""
    return jnp.cos(angle) + 1j * jnp.sin(angle)


class ComplexMomentum(core.Optimizer, ScaleByComplexMomentum):
    """Complex momentum, with an optional decoupled weight decay."""


@core.builds(ScaleByComplexMomentum)
def scale_by_complex_momentum(
    momentum: Scalar = 0.9, momentum_angle: Scalar = math.pi / 8, learning_rate_angle: Scalar = 0.0
):
    """The direction of complex momentum alone; arguments as in `complex_momentum`."""


@core.builds(ComplexMomentum)
def complex_momentum(
    learning_rate: ScalarOrSchedule,
    momentum: Scalar = 0.9,
    momentum_angle: Scalar = math.pi / 8,
    learning_rate_angle: Scalar = 0.0,
    *,
    weight_decay: ScalarOrSchedule | None = None,
    mask: core.Mask = None,
):
    r"""Complex momentum steps along the real part of a sum of gradients that turns as it decays.

    $$\mu \leftarrow \beta \mu + g,\quad \theta \leftarrow \theta - \Re(\alpha \mu),\quad
    \beta = |\beta|\, e^{i \arg \beta},\quad \alpha = \eta\, e^{i \arg \alpha}$$

    Parameters and steps are real, only μ is complex. A gradient of k steps ago counts with the
    weight |β|ᵏ cos(k arg β), at first with its sign, later against it: what damps a rotation.
    For a game, `params` holds those of all players and `g` each player's gradient of its own
    loss (that of a maximiser with its sign changed).

    Args:
      learning_rate: step size η = |α| [parameter units per gradient unit], in [0, inf), or a
        schedule.
      momentum: decay |β| of the sum, in [0, 1).
      momentum_angle: by what arg β it turns at each step [radians], any real number. 0 is
        momentum, π negative momentum; small angles suit games between cooperation and
        competition.
      learning_rate_angle: arg α, by what the sum is turned before its real part is taken
        [radians], any real number.
      weight_decay: decoupled decay λ, in [0, inf), scaled by the learning rate. It does
        not pass through the momentum.
      mask: which parameters decay: a tree of bools or a function of params.

    Returns:
      The optimizer. State: 2 × params, as one complex number for each parameter: complex128
      beside float64, complex64 beside anything narrower.

    Raises:
      ValueError: a hyperparameter outside its range.
      TypeError: complex parameters or gradients. `optax.contrib.split_real_and_imaginary`
        around it treats them as pairs of real ones.

    References:
      Lorraine, Acuna, Vicol and Duvenaud, "Complex Momentum for Optimization in Games",
      arXiv:2102.08431v2, the simultaneous method (all players step at once). Stepping one
      player after the other is the caller's choice: an optimizer for each.

    Differs:
      The buffer holds the sum of gradients, the paper's that of negative ones. Modulus and
      angle are two real numbers. The decay is not in the paper.

    Example:
      >>> import gradlab as gl
      >>> gl.complex_momentum(0.1, momentum=0.8, momentum_angle=0.4)
      complex_momentum(learning_rate=0.1, momentum=0.8, momentum_angle=0.4, learning_rate_angle=0.0)
    """


ENTRY = core.Entry(
    complex_momentum,
    formula="mu = momentum * exp(1j * momentum_angle) * mu + g; p -= lr * real(mu)",
    paper=("M123", "lorraine2022complex"),
    example={"learning_rate": 0.01},
    search_space={"learning_rate": (1e-3, 1.0, "log"), "momentum_angle": (0.0, 1.5, "linear")},
    traits=core.Traits(complex=False),
)
