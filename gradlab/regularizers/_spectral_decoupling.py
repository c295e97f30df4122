"""Spectral decoupling: a penalty on logits instead of weights."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gradlab import core
from gradlab.core import Scalar, hyper, static
from gradlab.regularizers import _leaves


class SpectralDecoupling(core.Regularizer):
    """Half the squared distance of logits from a centre."""

    needs = ("logits",)
    weight: Scalar | tuple[Scalar, ...] = hyper("[0, inf)")
    center: Scalar | tuple[Scalar, ...] = hyper()
    reduction: str = static(convert=core.one_of("mean", "sum"))

    def __call__(self, logits: Any, labels: Any = None) -> jax.Array:
        f = _leaves.widened(jnp.asarray(logits))
        f = f[..., None] if f.ndim < 2 else f
        weight, center = (self._own(name, f, labels) for name in ("weight", "center"))
        half_squares = 0.5 * weight * core.abs_sq(f - center)
        examples = f.size // max(1, f.shape[-1]) if self.reduction == "mean" else 1
        return jnp.sum(half_squares) / max(1, examples)

    def _own(self, name: str, f: jax.Array, labels: Any) -> jax.Array:
        """A hyperparameter, or the one of those that belongs to the label of each example."""
        value = getattr(self, name)
        if not isinstance(value, tuple):
            return jnp.asarray(value, f.real.dtype)
        if labels is None or jnp.shape(labels) != f.shape[:-1]:
            found = None if labels is None else jnp.shape(labels)
            raise ValueError(
                f"{self.owner()}: a {name} for each class needs labels of shape {f.shape[:-1]}, "
                f"one for each example; got labels of shape {found}"
            )
        table = jnp.stack([jnp.asarray(x, f.real.dtype) for x in value])
        return table.at[jnp.asarray(labels)].get(mode="fill", fill_value=jnp.nan)[..., None]


@core.builds(SpectralDecoupling)
def spectral_decoupling(
    weight: Scalar | tuple[Scalar, ...] = 0.1,
    center: Scalar | tuple[Scalar, ...] = 0.0,
    *,
    reduction: str = "mean",
):
    r"""Spectral decoupling penalises the logits of the network instead of its weights.

    $$\frac{1}{n} \sum_{i=1}^n \frac{\lambda_{y_i}}{2}\,
    \lVert f(x_i) - \gamma_{y_i} \rVert_2^2$$

    Cross-entropy alone learns the strongest feature and starves all others, whose gradients
    vanish with it. With this penalty in the place of weight decay the features of a linearised
    network are learned independently of each other.

    Args:
      weight: the factor λ [loss units], in [0, inf), or one for each class.
      center: what logits are drawn to, γ [logit units], or one for each class.
      reduction: `"mean"` over examples, as losses are; or `"sum"`.

    Returns:
      The regularizer: `penalty(logits)`, or `penalty(logits, labels)` where a hyperparameter is
      given for each class, is a scalar, in float32 or wider. The last axis of the logits are
      the outputs for one example; where there is one axis only, each has one output. Labels are
      integers, one for each example; one that has no class gives NaN. State: none.

    Raises:
      ValueError: a hyperparameter outside its range, or labels that are missing or of another
        shape.

    References:
      Pezeshki, Kaba, Bengio, Courville, Precup and Lajoie, "Gradient Starvation: A Learning
      Proclivity in Neural Networks", arXiv:2011.09468, the section on spectral decoupling.

    Differs:
      The paper sums over examples. Its code takes the mean of all squares, without the half:
      `weight=2` here for one output. Its centres belong to two classes and one output; here
      all outputs of an example are drawn to the centre of its label.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> logits = jnp.array([[3.0, 0.0], [0.0, 1.0]])
      >>> float(gl.spectral_decoupling(1.0)(logits))
      2.5
      >>> float(gl.spectral_decoupling(1.0, (0.0, 1.0))(logits, jnp.array([0, 1])))
      2.5
    """


ENTRY = core.Entry(
    spectral_decoupling,
    formula="weight / 2 * mean(|logits - center|**2)",
    paper=("M082",),
    example={"weight": 0.1},
    search_space={"weight": (1e-5, 1e-1, "log")},
    needs=("logits",),
)
