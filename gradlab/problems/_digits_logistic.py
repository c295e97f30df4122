"""Multinomial logistic regression on handwritten digits: a convex problem on real data."""

import jax
import jax.numpy as jnp

from gradlab.problems import _digits
from gradlab.problems._problem import Problem


def digits_logistic(batch_size: int = 64) -> Problem:
    """Multinomial logistic regression on scikit-learn's handwritten digits.

    Args:
        batch_size: images per batch.

    Returns:
        The problem: 650 parameters that start at zero, judged by the cross-entropy of 360 images
        that are never trained on.
    """
    (images, labels), (held_images, held_labels) = jax.tree.map(jnp.asarray, _digits.digits())

    def init(key):
        del key  # the problem is convex: zero is as good a start as any
        shape = (_digits.PIXELS, _digits.CLASSES)
        return {"weights": jnp.zeros(shape), "bias": jnp.zeros(_digits.CLASSES)}

    def loss(params, batch):
        return _digits.cross_entropy(batch[0] @ params["weights"] + params["bias"], batch[1])

    return Problem(
        name="digits_logistic",
        title="Logistic regression on digits",
        init=init,
        loss=loss,
        sample=lambda key: _digits.draw(images, labels, batch_size, key),
        evaluate=lambda params: loss(params, (held_images, held_labels)),
        metric="held-out cross-entropy",
        metric_unit="nats",
        batch_size=batch_size,
        settings={"batch_size": batch_size},
        sources=_digits.sources(),
    )
