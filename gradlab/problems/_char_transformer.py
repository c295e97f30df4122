"""A small causal transformer over characters, written with Flax."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

from gradlab.problems import _source_text
from gradlab.problems._digits import cross_entropy
from gradlab.problems._problem import Problem
from gradlab.problems._random import normals, positions

if TYPE_CHECKING:
    from flax import linen as nn


def char_transformer(
    batch_size: int = 8,
    width: int = 32,
    depth: int = 2,
    heads: int = 2,
    context: int = 32,
    characters: int = 400_000,
    held_out_windows: int = 32,
) -> Problem:
    """A causal transformer that predicts the next character of the standard library's source.

    Args:
        batch_size: windows of text per batch.
        width: channels of the residual stream, a multiple of `heads`.
        depth: transformer blocks.
        heads: attention heads per block.
        context: characters in a window.
        characters: characters of training text.
        held_out_windows: windows of held-out modules in the evaluation.

    Returns:
        The problem: judged by the cross-entropy of the next character, averaged over evenly
        spaced windows of modules that are never trained on.

    Raises:
        ValueError: where `width` is not a multiple of `heads`.
        FileNotFoundError: where this Python has no source files.
    """
    if width % heads:
        raise ValueError(f"width={width} is not a multiple of heads={heads}")
    settings = dict(locals())
    train, held = (_source_text.encode(part) for part in _source_text.source_text(characters))
    starts = np.linspace(0, len(held) - context - 1, held_out_windows).astype(int)
    held_windows = jnp.asarray(np.stack([held[i : i + context + 1] for i in starts]))
    text = jnp.asarray(train)
    model = _model(width, depth, heads)

    def loss(params, windows):
        logits = model.apply({"params": params}, windows[:, :-1])
        # `apply` gives a pair only where it is asked for mutable collections.
        return cross_entropy(logits, windows[:, 1:])  # pyright: ignore[reportArgumentType]

    def sample(key):
        start = positions(key, (batch_size, 1), len(text) - context)
        return text[start + jnp.arange(context + 1)]

    return Problem(
        name="char_transformer",
        title="Character transformer on Python source",
        init=lambda key: _initial(model, key, context),
        loss=loss,
        sample=sample,
        evaluate=lambda params: loss(params, held_windows),
        metric="held-out cross-entropy",
        metric_unit="nats per character",
        batch_size=batch_size,
        settings=settings,
        sources=_source_text.sources(characters),
    )


def _initial(model: nn.Module, key: jax.Array, context: int):
    """Returns Flax's tree of parameters: matrices with variance 1 / fan-in, norms at one."""
    window = jnp.zeros((1, context), jnp.int32)
    shapes = jax.eval_shape(model.init, key, window)["params"]

    def start(path, shape, drawn):
        name = path[-1].key
        if name == "position":
            return 0.02 * drawn
        if name == "kernel":
            return drawn / shape.shape[0] ** 0.5
        return jnp.ones(shape.shape) if name == "scale" else jnp.zeros(shape.shape)

    return jax.tree_util.tree_map_with_path(start, shapes, normals(key, shapes))


@functools.cache
def _model(width: int, depth: int, heads: int) -> nn.Module:
    """Returns the network; made inside a function so that only this problem imports Flax."""
    from flax import linen as nn

    class Attention(nn.Module):
        @nn.compact
        def __call__(self, x):
            split = (*x.shape[:-1], 3, heads, width // heads)
            joined = nn.Dense(3 * width, use_bias=False, name="query_key_value")(x)
            query, key, value = jnp.moveaxis(joined.reshape(split), -3, 0)
            scores = jnp.einsum("bqhd,bkhd->bhqk", query, key) / (width // heads) ** 0.5
            length = x.shape[-2]
            causal = jnp.tril(jnp.ones((length, length), bool))
            weights = jax.nn.softmax(jnp.where(causal, scores, -1e9))
            mixed = jnp.einsum("bhqk,bkhd->bqhd", weights, value).reshape(x.shape)
            return nn.Dense(width, use_bias=False, name="output")(mixed)

    class Block(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = x + Attention(name="attention")(nn.RMSNorm()(x))
            hidden = nn.gelu(nn.Dense(4 * width, name="expand")(nn.RMSNorm()(x)))
            return x + nn.Dense(width, name="contract")(hidden)

    class Transformer(nn.Module):
        @nn.compact
        def __call__(self, symbols):
            embed = nn.Dense(width, use_bias=False, name="embed")
            x = embed(jax.nn.one_hot(symbols, _source_text.SYMBOLS))
            shape = (symbols.shape[-1], width)
            x = x + self.param("position", nn.initializers.normal(0.02), shape)
            for index in range(depth):
                x = Block(name=f"block_{index}")(x)
            return nn.Dense(_source_text.SYMBOLS, name="predict")(nn.RMSNorm()(x))

    return Transformer()
