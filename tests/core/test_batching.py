"""Work done once for each shape gives what work array by array gives."""

import jax
import jax.numpy as jnp
import numpy as np

from gradlab.core._batching import batch_by_shape

SHAPES = [(1, 2, 3), (4, 2, 3), (1, 3, 3), (2, 0, 3), (1, 2, 3)]


def arrays(dtype=jnp.float32):
    draw = np.random.default_rng(0)
    return [jnp.asarray(draw.normal(size=shape), dtype) for shape in SHAPES]


def gram(x):
    return x @ jnp.swapaxes(x, 1, 2)


def test_each_shape_is_one_call_and_order_is_kept():
    calls = []

    def counted(x):
        calls.append(x.shape)
        return gram(x)

    results = batch_by_shape(counted, arrays())
    assert sorted(calls) == [(1, 3, 3), (2, 0, 3), (6, 2, 3)]
    for x, y in zip(arrays(), results, strict=True):
        np.testing.assert_allclose(y, gram(x), rtol=1e-6)


def test_several_columns_and_trees_of_results():
    results = batch_by_shape(lambda x, y: {"sum": x + y, "gram": gram(x)}, arrays(), arrays())
    for x, result in zip(arrays(), results, strict=True):
        np.testing.assert_array_equal(result["sum"], 2 * x)


def test_dtypes_are_not_mixed():
    mixed = [x.astype(d) for x, d in zip(arrays(), ["float32", "bfloat16"] * 3, strict=False)]
    assert [y.dtype for y in batch_by_shape(gram, mixed)] == [x.dtype for x in mixed]


def test_under_jit_vmap_and_grad():
    def total(scale, xs):
        return sum(jnp.sum(gram(scale * y)) for y in batch_by_shape(gram, xs))

    xs = [x for x in arrays() if x.size]
    scales = jnp.array([1.0, 2.0])
    looped = jnp.stack([jax.grad(total)(s, xs) for s in scales])
    mapped = jax.jit(jax.vmap(jax.grad(total), (0, None)))(scales, xs)
    np.testing.assert_allclose(mapped, looped, rtol=1e-5)


def test_arrays_that_lie_on_other_devices_are_not_joined():
    first, second = jax.devices()[:2]
    xs = [jax.device_put(jnp.ones((1, 2, 3)), device) for device in (first, second, first)]
    assert [y.devices() for y in batch_by_shape(gram, xs)] == [{first}, {second}, {first}]


def test_sharded_arrays():
    mesh = jax.make_mesh((4,), ("x",), (jax.sharding.AxisType.Explicit,))
    spec = jax.sharding.PartitionSpec
    with jax.set_mesh(mesh):
        rows = jax.device_put(jnp.ones((1, 4, 8)), spec(None, "x", None))
        whole = jax.device_put(jnp.ones((1, 4, 8)), spec())
        results = batch_by_shape(jnp.negative, [rows, whole, rows])
        specs = [tuple(y.sharding.spec) for y in results]
        assert specs == [(None, "x", None), (None, None, None), (None, "x", None)]
