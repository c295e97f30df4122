"""A small fully connected network on handwritten digits."""

from itertools import pairwise

import jax
import jax.numpy as jnp

from gradlab.problems import _digits
from gradlab.problems._problem import Problem
from gradlab.problems._random import normals


def digits_mlp(batch_size: int = 64, width: int = 32, depth: int = 2) -> Problem:
    """A fully connected ReLU network on scikit-learn's handwritten digits.

    Args:
        batch_size: images per batch.
        width: units in each hidden layer.
        depth: hidden layers.

    Returns:
        The problem: weights start with the variance 2 / fan-in, biases at zero; judged by the
        cross-entropy of 360 images that are never trained on.
    """
    (images, labels), (held_images, held_labels) = jax.tree.map(jnp.asarray, _digits.digits())
    sizes = (_digits.PIXELS, *(width,) * depth, _digits.CLASSES)

    def init(key):
        shapes = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in pairwise(sizes)]
        return [
            {"weights": (2.0 / len(drawn)) ** 0.5 * drawn, "bias": jnp.zeros(drawn.shape[1])}
            for drawn in normals(key, shapes)
        ]

    def loss(params, batch):
        hidden = batch[0]
        for layer in params[:-1]:
            hidden = jax.nn.relu(hidden @ layer["weights"] + layer["bias"])
        logits = hidden @ params[-1]["weights"] + params[-1]["bias"]
        return _digits.cross_entropy(logits, batch[1])

    return Problem(
        name="digits_mlp",
        title="MLP on digits",
        init=init,
        loss=loss,
        sample=lambda key: _digits.draw(images, labels, batch_size, key),
        evaluate=lambda params: loss(params, (held_images, held_labels)),
        metric="held-out cross-entropy",
        metric_unit="nats",
        batch_size=batch_size,
        settings={"batch_size": batch_size, "width": width, "depth": depth},
        sources=_digits.sources(),
    )
