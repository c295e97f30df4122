"""The write order changes no bit and disappears where it would not help."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradlab import core

SPECIAL = jnp.array([0.0, -0.0, 1.0, jnp.inf, -jnp.inf, jnp.nan, 1e-45], jnp.float32)


@pytest.mark.parametrize("first", list(np.asarray(SPECIAL)), ids=str)
def test_the_value_passes_bit_for_bit_whatever_comes_first(first):
    other = SPECIAL.at[0].set(first)
    out = jax.jit(core.written_after)(SPECIAL, other)
    np.testing.assert_array_equal(
        np.asarray(out).view(np.uint32), np.asarray(SPECIAL).view(np.uint32)
    )


def test_derivatives_and_vmap_do_not_see_it():
    x = jnp.arange(3.0)
    assert (
        str(jax.make_jaxpr(jax.vmap(core.written_after))(x[:, None], x[:, None])).count(
            "written_after"
        )
        == 0
    )
    gradient = jax.grad(lambda x: jnp.sum(core.written_after(x, 2 * x) ** 2))(x)
    np.testing.assert_array_equal(gradient, 2 * x)


def test_sharded_leaves_get_no_collective():
    mesh = jax.make_mesh((8,), ("x",), axis_types=(jax.sharding.AxisType.Auto,))
    split = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("x"))
    x = jax.device_put(jnp.ones((16,)), split)
    text = jax.jit(lambda a, b: core.written_after(a, b * 2)).lower(x, x).compile().as_text()
    assert not any(word in text for word in ("all-gather", "all-reduce", "collective", "select("))


def test_scalars_and_empty_arrays_pass():
    assert core.written_after(jnp.float32(2.0), jnp.float32(1.0)) == 2.0
    assert core.written_after(jnp.zeros((0, 2)), jnp.zeros((0, 2))).shape == (0, 2)
