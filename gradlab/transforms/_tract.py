"""TrAct: the first layer learns as if its outputs were the parameters."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gradlab import core
from gradlab.core import Params, Scalar, Updates, hyper
from gradlab.transforms._layer_inputs import example_inputs, over_layers


class TrAct(core.Rule):
    """Divides the gradient of a layer by the second moment of its inputs."""

    damping: Scalar = hyper("(0, inf)")

    needs = ("inputs",)

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, Any]:
        def leaf(h: Any, g: jax.Array, x: jax.Array) -> jax.Array:
            moment = x.T @ jnp.conj(x) / x.shape[0]
            damped = moment + h.damping * jnp.eye(x.shape[-1], dtype=x.dtype)
            matrix = g.reshape(x.shape[-1], -1)
            return jax.scipy.linalg.solve(damped, matrix, assume_a="pos").reshape(g.shape)

        (updates,) = over_layers(self, leaf, updates, extra["inputs"])
        return updates, state


@core.builds(TrAct)
def tract(damping: Scalar = 0.1):
    r"""TrAct trains the first layer as if its outputs were parameters.

    $$G \leftarrow \Big(\frac{X^\top X}{b} + \lambda I\Big)^{-1} G$$

    for weights of shape (inputs, outputs) that were fed the b rows of X. A step along the new
    gradient moves the layer's outputs as near as it can to where a step on the outputs
    themselves would lead, however large the inputs are. It stands before any optimizer.

    `update` needs an extra argument `inputs`: what the layer was fed, at the layer's place in
    a tree like the parameters or in a part of one, such as
    `inputs={"Conv_0": {"kernel": patches}}`. All other gradients pass unchanged. For a
    convolution the inputs are its patches, flattened like the axes of the kernel before the
    last one.

    Args:
      damping: λ [squared input units], in (0, inf). The larger it is, the nearer the
        direction is to the gradient.

    Returns:
      The transformation. State: none.

    Raises:
      ValueError: `damping` outside its range; inputs that fit no weights.
      TypeError: no `inputs`.

    References:
      Petersen, Borgelt and Ermon, "TrAct: Making First-layer Pre-Activations Trainable",
      arXiv:2410.23970v1; the authors' `torch_tract` 1.0.0.

    Differs:
      The authors put it into the backward pass of a layer, and for fewer examples than inputs
      they invert a matrix of examples, which gives the same.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> opt, x = gl.chain(gl.tract(1.0), gl.sgd(1.0)), jnp.array([[1.0, 0.0], [0.0, 3.0]])
      >>> params = {"first": jnp.zeros((2, 1)), "second": jnp.zeros(1)}
      >>> g = {"first": jnp.array([[3.0], [11.0]]), "second": jnp.ones(1)}
      >>> updates, _ = opt.update(g, opt.init(params), params, inputs={"first": x})
      >>> [round(float(u), 3) for u in updates["first"][:, 0]], updates["second"].tolist()
      ([-2.0, -2.0], [-1.0])
    """


ENTRY = core.Entry(
    tract,
    formula="G = inv(X.T @ X / b + damping * I) @ G",
    paper=("M032",),
    example={"damping": 0.1},
    search_space={"damping": (1e-2, 1.0, "log")},
    needs=("inputs",),
    traits=core.Traits(elementwise=False),
    extra=example_inputs,
)
