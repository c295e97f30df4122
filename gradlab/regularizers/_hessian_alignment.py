"""Hessian alignment: gradients and Hessians of a head agree over domains."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from gradlab import core
from gradlab.core import Params, Scalar, hyper, static
from gradlab.regularizers import _domains, _leaves


class HessianAlignment(core.Regularizer):
    """The spread over domains of gradients, and of what stands for Hessians."""

    needs = ("losses",)
    hessian_weight: Scalar = hyper("[0, inf)")
    gradient_weight: Scalar = hyper("[0, inf)")
    method: str = static(convert=core.one_of("hgp", "hutchinson"))
    samples: int = static(convert=core.count_at_least(1))

    def __call__(
        self, head: Params, losses: Callable[[Any], Any], key: jax.Array | None = None
    ) -> jax.Array:
        head = jax.tree.map(_leaves.widened, head)
        _domains.check_losses(self.owner(), head, losses)
        gradients = jax.jacrev(losses)(head)
        if self.method == "hgp":
            curvatures = _domains.hessian_gradient_products(losses, head, gradients)
        elif key is None:
            raise TypeError(f"{self.owner()}: method='hutchinson' draws signs and needs key=…")
        else:
            curvatures = _domains.hessian_diagonals(losses, head, key, self.samples)
        spreads = jnp.stack([_domains.spread(curvatures), _domains.spread(gradients)])
        weights = jnp.stack([jnp.asarray(w, spreads.dtype) for w in self.hyper_values])
        return jnp.sum(weights * spreads)


@core.builds(HessianAlignment)
def hessian_alignment(
    hessian_weight: Scalar = 1e-3,
    gradient_weight: Scalar = 1e-3,
    *,
    method: str = "hgp",
    samples: int = 100,
):
    r"""Aligns over domains the gradients and Hessians of a classifier's head.

    $$\frac1n \sum_e \alpha\,\lVert H_e g_e - \overline{H g} \rVert^2
    + \beta\,\lVert g_e - \bar g \rVert^2$$

    where g and H are gradient and Hessian of the loss of domain e by the head's parameters, and
    bars are means over domains. No Hessian is formed. `"hutchinson"` has, in the place of the
    products H g, the diagonals of H, estimated as means of r ⊙ H r over random signs r.

        def losses(head):  # one loss for each domain; features and labels are stacks
            logits = features @ head["kernel"] + head["bias"]
            return cross_entropy(logits, labels).mean(axis=1)

        loss = losses(head).mean() + penalty(head, losses)

    Args:
      hessian_weight: the factor α [loss units / product units²], in [0, inf).
      gradient_weight: the factor β [loss units / gradient units²], in [0, inf).
      method: `"hgp"` for Hessian-gradient products, or `"hutchinson"`.
      samples: how many random signs an estimate of diagonals takes.

    Returns:
      The regularizer: `penalty(head, losses)`, with `key=` for `"hutchinson"`, is a scalar, in
      float32 or wider; the features inside of `losses` get their gradient, too. State: none.

    Raises:
      TypeError: complex parameters, or a missing key.
      ValueError: a hyperparameter outside its range, or losses that are no vector.

    References:
      Hemati, Zhang, Estiri and Chen, "Understanding Hessian Alignment for Domain
      Generalization", arXiv:2308.11778v1, the section on HGP and Hutchinson's method.

    Differs:
      In the authors' code the means of products are those of the mean loss, its Hessian times
      its gradient, held constant, and each domain has random signs of its own. With the same
      signs for all, the estimates agree wherever the Hessians do.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> penalty = gl.hessian_alignment(1.0, 1.0)
      >>> scales = jnp.array([1.0, 3.0])
      >>> float(penalty(jnp.array([1.0]), lambda head: scales * jnp.sum(head**2) / 2))
      17.0
    """


ENTRY = core.Entry(
    hessian_alignment,
    formula="mean_e(alpha * |H_e g_e - mean(H g)|**2 + beta * |g_e - mean(g)|**2)",
    paper=("M049",),
    example={"hessian_weight": 1e-3, "gradient_weight": 1e-3},
    search_space={"hessian_weight": (1e-5, 1.0, "log"), "gradient_weight": (1e-5, 1.0, "log")},
    needs=("losses",),
    traits=core.Traits(complex=False),
)
