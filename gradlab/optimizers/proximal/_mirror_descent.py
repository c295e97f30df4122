"""Gradient descent in the dual space of a potential."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from gradlab import core
from gradlab.core import Params, Scalar, ScalarOrSchedule, Updates, hyper, static
from gradlab.optimizers.proximal._forward_backward import ForwardBackwardState
from gradlab.optimizers.proximal._functions import function


class MirrorDescent(core.Rule):
    """A step of the gradient of the potential, and back."""

    learning_rate: ScalarOrSchedule = hyper("[0, inf)")
    potential: str = static(convert=core.one_of("negative_entropy", "euclidean", "p_norm"))
    p: Scalar | None = hyper("(1, inf)")
    projection: Callable[..., Any] | None = static(convert=core.optional(function))

    def check_composition(self) -> None:
        if (self.p is None) == (self.potential == "p_norm"):
            needs = "needs" if self.p is None else "takes no"
            raise ValueError(f"{self.owner()}: potential={self.potential!r} {needs} p")

    def init(self, params: Params) -> ForwardBackwardState:
        return ForwardBackwardState(core.step_count())

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, ForwardBackwardState]:
        params = self.needed(params)
        now = self.with_values(learning_rate=core.at(self.learning_rate, state.count))
        (new,) = now.each(getattr(now, f"_{self.potential}"), updates, reads=(params,))
        new = new if self.projection is None else self.projection(new)
        (step,) = now.each(lambda h, w, p: w - p, new, reads=(params,))
        return step, ForwardBackwardState(optax.safe_increment(state.count))

    def _euclidean(self, h: Any, g: jax.Array, w: jax.Array) -> jax.Array:
        return w - h.learning_rate * g

    def _negative_entropy(self, h: Any, g: jax.Array, w: jax.Array) -> jax.Array:
        if jnp.iscomplexobj(w):
            raise TypeError(f"{self.owner()}: the negative entropy has no complex numbers")
        return w * jnp.exp(-h.learning_rate * g * jnp.sign(w))

    def _p_norm(self, h: Any, g: jax.Array, w: jax.Array) -> jax.Array:
        dual = core.signed_power(w, h.p - 1) - h.learning_rate * g
        return core.signed_power(dual, 1 / (h.p - 1))

    def schedule_counts(self, state: Any) -> dict[str, Any]:
        return {"learning_rate": state.count}


@core.builds(MirrorDescent)
def mirror_descent(
    learning_rate: ScalarOrSchedule,
    potential: str = "negative_entropy",
    p: Scalar | None = None,
    projection: Callable[..., Any] | None = None,
):
    r"""Mirror descent takes the gradient step in the dual space of a potential φ.

    $$\nabla\varphi(\theta) \leftarrow \nabla\varphi(\theta) - \eta\,g$$

    With the negative entropy φ = Σ |θ| log |θ| that is the exponentiated gradient
    θ ← θ exp(−η g sign θ): weights keep their sign, and zeros stay. With the p-norm φ = Σ |θ|ᵖ / p
    the dual weight is sign(θ) |θ|ᵖ⁻¹; with p = 2, or φ = ½ ‖θ‖², it is gradient descent.

    Args:
      learning_rate: step size η [units of ∇φ per gradient unit], in [0, inf), or a schedule.
      potential: φ, one of "negative_entropy", "euclidean", "p_norm".
      p: the exponent of "p_norm", in (1, inf); None for the others.
      projection: from the tree of stepped weights to a set, in the divergence of φ. For the
        simplex and the negative entropy `gl.projections.kl_projection_simplex`. None: no set.

    Returns:
      The optimizer. State: a count.

    Raises:
      TypeError: complex weights with the negative entropy.
      ValueError: a hyperparameter outside its range, another potential, an exponent without
        "p_norm" or the other way round, or no parameters.

    References:
      Beck and Teboulle, "Mirror descent and nonlinear projected subgradient methods for convex
      optimization", Operations Research Letters 31(3), 2003. Pogodin, Cornford, Ghosh, Gidel,
      Lajoie and Richards, "Synaptic Weight Distributions Depend on the Geometry of Plasticity",
      arXiv:2305.19394v2, for the potentials on weights of both signs.

    Differs:
      Where a weight or its dual is zero, derivatives of the powers are taken as zero, and that of
      the sign, too.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> opt = gl.mirror_descent(1.0)
      >>> p = jnp.array([1.0, -1.0])
      >>> opt.update(jnp.log(2.0) * jnp.ones(2), opt.init(p), p)[0].round(3).tolist()
      [-0.5, -1.0]
    """


ENTRY = core.Entry(
    mirror_descent,
    formula="grad phi(p) -= lr * g",
    paper=("M063", "beck2003mirror"),
    example={"learning_rate": 0.001, "potential": "p_norm", "p": 3.0},
    search_space={"learning_rate": (1e-4, 0.1, "log"), "p": (1.5, 4.0, "linear")},
    traits=core.Traits(
        smooth=False,
        kinks="Roots have no slope at zero: where a weight or its dual is zero, and where the sign "
        "of the negative entropy changes, the derivative is taken as zero.",
    ),
)
