"""From losses to what aggregators take: stacks of gradients, or Gramians without them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from gradlab import core
from gradlab.aggregators import _stacked
from gradlab.aggregators._weighting import Weighting
from gradlab.core import Params, Transform


def value_and_jacobian(
    fn: Callable[..., Any],
    params: Params,
    *args: Any,
    shared: Any = None,
    has_aux: bool = False,
    chunk_size: int | None = None,
    **kwargs: Any,
) -> tuple[Any, Any]:
    """Several losses, and the gradient of each.

    Args:
      fn: `fn(params, *args, **kwargs)` gives an array of losses of any shape (tasks, or tasks
        times examples), each of which is one objective, in the order of `ravel`.
      params: the parameters.
      *args: what else `fn` takes.
      shared: None, or which parameters all objectives share: a tree of bools, a prefix of
        one, or a function from params to it. Parameters of single tasks get the gradient of
        the sum, without an axis of objectives; `optax.masked(aggregator, shared)` passes it on.
      has_aux: whether `fn` returns losses and something else.
      chunk_size: how many gradients are taken at a time; None for all.
      **kwargs: what else `fn` takes, by name.

    Returns:
      The losses, or losses and the rest, and a tree like `params` with a leading axis of
      objectives on every array that is shared.

    Raises:
      ValueError: `shared` marks nothing.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> def losses(x):
      ...     return jnp.stack([jnp.sum(x**2), jnp.sum((x - 1) ** 2)])
      >>> values, stack = gl.aggregators.value_and_jacobian(losses, jnp.array([1.0, 0.0]))
      >>> values.tolist(), stack.tolist()
      ([1.0, 1.0], [[2.0, 0.0], [0.0, -2.0]])
    """
    common, own, join = _split(params, shared)

    def flat(common: Any, own: Any) -> tuple[jax.Array, Any]:
        result = fn(join(common, own), *args, **kwargs)
        values = jnp.asarray(result[0] if has_aux else result)
        return values.ravel(), (values, result[1]) if has_aux else values

    values, pull, shown = jax.vjp(flat, common, own, has_aux=True)
    rows = jnp.eye(values.size, dtype=values.dtype)
    if chunk_size is None:
        stack = jax.vmap(lambda row: pull(row)[0])(rows)
    else:
        stack = lax.map(lambda row: pull(row)[0], rows, batch_size=chunk_size)
    return shown, join(stack, pull(jnp.ones_like(values))[1])


def weights_from_gramian(
    aggregator: Transform, gram: jax.Array, state: Any, **extra: Any
) -> tuple[jax.Array, Any]:
    """The weights that an aggregator gives gradients with these inner products.

    Args:
      aggregator: one that needs nothing of the gradients but inner products.
      gram: their Gramian, of shape `(objectives, objectives)`.
      state: the aggregator's state.
      **extra: extra arguments of its `update`.

    Returns:
      The weight of each gradient, and the new state.

    Raises:
      TypeError: the aggregator needs the gradients themselves.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> mgda, gram = gl.mgda(), jnp.array([[4.0, 0.0], [0.0, 1.0]])
      >>> found, _ = gl.aggregators.weights_from_gramian(mgda, gram, mgda.init({}))
      >>> [round(float(w), 4) for w in found]
      [0.2, 0.8]
    """
    return _weighting(aggregator).weigh(gram, state, **extra)


def value_and_gramian(
    fn: Callable[[Params, Any], Any],
    params: Params,
    batch: Any,
    *,
    chunk_size: int = 32,
    shared: Any = None,
) -> tuple[jax.Array, jax.Array]:
    """The losses of every example, and the inner products of their gradients.

    No more than two chunks of gradients exist at a time: memory does not grow with parameters
    times examples. The gradients of each chunk are taken again for each later chunk.

    Args:
      fn: `fn(params, example)` gives the loss of one example, or an array of losses of it
        (for several tasks).
      params: the parameters.
      batch: a tree of arrays with a leading axis of examples.
      chunk_size: examples whose gradients are taken at a time.
      shared: None, or which parameters all objectives share, as in `value_and_jacobian`;
        the others have no part in the inner products.

    Returns:
      Losses, of shape `(examples, ...)`, and the Gramian, a square over all of them in the
      order of `ravel`.

    Raises:
      ValueError: `shared` marks nothing; the batch has no examples.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> def loss(w, x):
      ...     return w @ x
      >>> inputs = jnp.array([[1.0, 0.0], [1.0, 1.0]])
      >>> _, gram = gl.aggregators.value_and_gramian(loss, jnp.ones(2), inputs)
      >>> gram.tolist()
      [[1.0, 1.0], [1.0, 2.0]]
    """
    common, own, join = _split(params, shared)
    chunks, count = _chunked(batch, chunk_size)

    def of_example(common: Any, example: Any) -> tuple[jax.Array, jax.Array]:
        values = jnp.asarray(fn(join(common, own), example))
        return values.ravel(), values

    def stack_of(index: jax.Array) -> tuple[Any, jax.Array]:
        def one(example: Any) -> tuple[Any, jax.Array]:
            values, pull, shown = jax.vjp(lambda p: of_example(p, example), common, has_aux=True)
            return jax.vmap(pull)(jnp.eye(values.size, dtype=values.dtype))[0], shown

        rows, values = jax.vmap(one)(jax.tree.map(lambda x: x[index], chunks))
        return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), rows), values

    number = jax.tree.leaves(chunks)[0].shape[0]
    indices = jnp.arange(number)

    def row_of_blocks(i: jax.Array) -> tuple[jax.Array, jax.Array]:
        left, values = stack_of(i)

        def block(j: jax.Array) -> jax.Array:
            return _stacked.inner_products(left, stack_of(j)[0])

        nothing = jax.eval_shape(block, i)

        def below(j: jax.Array) -> jax.Array:
            return lax.cond(j <= i, block, lambda _: jnp.zeros(nothing.shape, nothing.dtype), j)

        return lax.map(below, indices), values

    blocks, values = lax.map(row_of_blocks, indices)
    size = number * blocks.shape[-1]
    gram = blocks.transpose(0, 2, 1, 3).reshape(size, size)
    owner = jnp.arange(size) // blocks.shape[-1]
    gram = jnp.where(owner[:, None] >= owner, gram, gram.T)
    values = values.reshape(-1, *values.shape[2:])[:count]
    return values, gram[: values.size, : values.size]


def value_and_gradient(
    aggregator: Transform,
    fn: Callable[[Params, Any], Any],
    params: Params,
    batch: Any,
    state: Any,
    *,
    chunk_size: int = 32,
    shared: Any = None,
    **extra: Any,
) -> tuple[jax.Array, Any, Any]:
    """The losses of every example, and their gradients combined, without a stack of them.

    With one objective for each example this is instance-wise risk minimisation. Memory does
    not grow with parameters times examples: weights come from the Gramian, and the weighted
    loss is differentiated once more.

    Args:
      aggregator: one that needs nothing of the gradients but inner products.
      fn: `fn(params, example)` gives the loss of one example, or an array of losses of it.
      params: the parameters.
      batch: a tree of arrays with a leading axis of examples.
      state: the aggregator's state.
      chunk_size: examples whose gradients are taken at a time.
      shared: None, or which parameters all objectives share, as in `value_and_jacobian`;
        the others get the gradient of the sum.
      **extra: extra arguments of the aggregator. `losses` are given to it.

    Returns:
      Losses, of shape `(examples, ...)`; a gradient like `params`, for any optimizer; and the
      aggregator's new state.

    Raises:
      TypeError: the aggregator needs the gradients themselves.
      ValueError: `shared` marks nothing; the batch has no examples.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> def loss(w, x):
      ...     return w @ x
      >>> inputs = jnp.array([[1.0, 0.0], [-1.0, 1.0]])
      >>> upgrad = gl.upgrad()
      >>> _, gradient, _ = gl.aggregators.value_and_gradient(
      ...     upgrad, loss, jnp.ones(2), inputs, upgrad.init(jnp.ones(2))
      ... )
      >>> gradient.tolist()
      [0.25, 0.75]
    """
    rule = _weighting(aggregator)
    values, gram = value_and_gramian(fn, params, batch, chunk_size=chunk_size, shared=shared)
    found, state = rule.weigh(gram, state, **{"losses": values.ravel(), **extra})
    found = lax.stop_gradient(found).reshape(values.shape)
    chunks, count = _chunked(batch, chunk_size)
    common, own, join = _split(params, shared)
    number, length = jax.tree.leaves(chunks)[0].shape[:2]

    def padded(x: jax.Array) -> jax.Array:
        rest = [(0, 0)] * (x.ndim - 1)
        x = jnp.pad(x, ((0, number * length - count), *rest))
        return x.reshape(number, length, *x.shape[1:])

    def total(common: Any, own: Any, w: jax.Array, used: jax.Array, examples: Any) -> jax.Array:
        def one(example: Any) -> jax.Array:
            # Shared parameters see weighted losses, those of single tasks plain ones.
            return jnp.stack(
                [
                    jnp.asarray(fn(join(common, lax.stop_gradient(own)), example)),
                    jnp.asarray(fn(join(lax.stop_gradient(common), own), example)),
                ]
            )

        if shared is None:
            losses = jax.vmap(lambda x: jnp.asarray(fn(join(common, own), x)))(examples)
            return jnp.sum(w.astype(losses.dtype) * losses)
        losses = jax.vmap(one)(examples)
        factors = jnp.stack([w, used], axis=1).astype(losses.dtype)
        return jnp.sum(factors * losses)

    def add(carry: Any, chunk: tuple) -> tuple[Any, None]:
        return jax.tree.map(jnp.add, carry, jax.grad(total, (0, 1))(common, own, *chunk)), None

    start = jax.tree.map(jnp.zeros_like, (common, own))
    used = padded(jnp.ones_like(found))
    (common, own), _ = lax.scan(add, start, (padded(found), used, chunks))
    return values, join(common, own), state


def _weighting(aggregator: Transform) -> Weighting:
    if not isinstance(aggregator.rule, Weighting):
        raise TypeError(
            f"{aggregator.rule.owner()} needs the gradients themselves, not only their inner "
            "products: give it a stack, as value_and_jacobian makes"
        )
    return aggregator.rule


def _split(params: Params, shared: Any) -> tuple[Any, Any, Callable[[Any, Any], Any]]:
    """Shared parameters, the others, and what puts two such parts together again."""
    if shared is None:
        return params, (), lambda common, _: common
    mask = shared(params) if callable(shared) else shared
    leaves, treedef = jax.tree.flatten(params)
    marks = [bool(x) for x in jax.tree.leaves(jax.tree.broadcast(mask, params))]
    if leaves and not any(marks):
        raise ValueError(f"shared marks no parameter: {mask!r}")
    common = [x for x, mark in zip(leaves, marks, strict=True) if mark]
    own = [x for x, mark in zip(leaves, marks, strict=True) if not mark]

    def join(common: Any, own: Any) -> Any:
        first, second = iter(common), iter(own)
        return treedef.unflatten([next(first if mark else second) for mark in marks])

    return common, own, join


def _chunked(batch: Any, chunk_size: int) -> tuple[Any, int]:
    """A batch in chunks of one length, the last one filled with the first example."""
    counts = {x.shape[0] for x in jax.tree.leaves(batch)}
    if len(counts) != 1 or 0 in counts:
        raise ValueError(f"the batch needs one number of examples, at least 1; it has {counts}")
    count = counts.pop()
    length = min(core.count_at_least(1)(chunk_size), count)
    number = -(-count // length)

    def leaf(x: jax.Array) -> jax.Array:
        fill = jnp.broadcast_to(x[:1], (number * length - count, *x.shape[1:]))
        return jnp.concatenate([jnp.asarray(x), fill]).reshape(number, length, *x.shape[1:])

    return jax.tree.map(leaf, batch), count
