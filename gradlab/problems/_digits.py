"""The handwritten digits of scikit-learn, split once and for all."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from gradlab.problems._random import positions

CLASSES = 10
PIXELS = 64
HELD_OUT = 360


@functools.cache
def digits() -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """The handwritten digits of scikit-learn, in a fixed order that mixes their writers.

    Returns:
        Training images and labels, and 360 held-out images and labels. Images are rows of 64
        numbers in [0, 1], labels whole numbers in [0, 10); do not write into them.
    """
    # The file holds the images in the order in which people wrote them: without the shuffle the
    # held-out part would be other people's handwriting, a different and noisier problem.
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(images))
    images, labels = (images[order] / 16.0).astype(np.float32), labels[order].astype(np.int32)
    cut = len(images) - HELD_OUT
    return (images[:cut], labels[:cut]), (images[cut:], labels[cut:])


def sources() -> dict[str, str]:
    """Returns the package that the images come from, with its version."""
    import sklearn

    return {"scikit-learn": sklearn.__version__}


def draw(images: jax.Array, labels: jax.Array, batch_size: int, key: jax.Array):
    """Returns a batch of images and labels drawn with replacement."""
    chosen = positions(key, (batch_size,), len(labels))
    return images[chosen], labels[chosen]


def cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Returns the mean cross-entropy of integer labels [nats]."""
    # Picking the label's entry by a product with a one-hot row instead of a gather: its derivative
    # is a product as well, where a gather's is a scatter, slow on a CPU and slower under `vmap`.
    chosen = jax.nn.one_hot(labels, logits.shape[-1], dtype=logits.dtype)
    return -jnp.mean(jnp.sum(chosen * jax.nn.log_softmax(logits), axis=-1))
