"""Addition modulo a prime: memorised at once, understood much later."""

from __future__ import annotations

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np

from gradlab.problems._digits import cross_entropy, draw
from gradlab.problems._problem import Problem
from gradlab.problems._random import normals


def modular_addition(
    modulus: int = 59, percent: int = 50, width: int = 128, batch_size: int = 512, scale: int = 100
) -> Problem:
    """A ReLU network that learns a + b modulo a number from a part of all pairs.

    Networks fit the training pairs within a hundred steps, and answer the others long after:
    they grok. How long it takes depends on the optimizer.

    Args:
        modulus: the number p of residues; there are p² pairs.
        percent: of the pairs that are trained on, in [1, 99].
        width: units in each of two hidden layers.
        batch_size: pairs per batch.
        scale: of the initial weights, in percent of variance 2 / fan-in's square root; larger
            ones are memorised with longer.

    Returns:
        The problem: both residues as one-hot vectors beside each other, no biases; judged by
        the share of the other pairs that is answered wrongly.

    Raises:
        ValueError: `percent` is outside [1, 99].
    """
    if not 1 <= percent <= 99:
        raise ValueError(f"modular_addition: percent={percent} is not in [1, 99]")
    settings = dict(locals())
    pairs = np.random.default_rng(0).permutation(modulus**2)
    cut = len(pairs) * percent // 100
    train, held = (_examples(part, modulus) for part in (pairs[:cut], pairs[cut:]))
    sizes = (2 * modulus, width, width, modulus)

    def init(key):
        shapes = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in pairwise(sizes)]
        return [scale / 100 * (2.0 / len(w)) ** 0.5 * w for w in normals(key, shapes)]

    def logits(params, inputs):
        # A product with a one-hot row: a gather's derivative is a scatter, slow on a CPU.
        hidden = jax.nn.one_hot(inputs, modulus).reshape(len(inputs), -1)
        for weights in params[:-1]:
            hidden = jax.nn.relu(hidden @ weights)
        return hidden @ params[-1]

    def error(params):
        return jnp.mean(jnp.argmax(logits(params, held[0]), axis=-1) != held[1])

    return Problem(
        name="modular_addition",
        title="Addition modulo a prime",
        init=init,
        loss=lambda params, batch: cross_entropy(logits(params, batch[0]), batch[1]),
        sample=lambda key: draw(*train, batch_size, key),
        evaluate=error,
        metric="held-out error",
        metric_unit="share of pairs",
        batch_size=batch_size,
        settings=settings,
        sources={"pairs": f"all {modulus**2} pairs, shuffled by NumPy's generator 0"},
    )


def _examples(pairs: np.ndarray, modulus: int) -> tuple[jax.Array, jax.Array]:
    """Both residues of each pair, and their sum."""
    residues = np.stack([pairs // modulus, pairs % modulus], axis=1).astype(np.int32)
    return jnp.asarray(residues), jnp.asarray(residues.sum(axis=1) % modulus)
