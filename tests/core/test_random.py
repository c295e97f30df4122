"""Random numbers computed where they are used are JAX's own, and cost no memory."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradlab import core, testing

KEY = jax.random.PRNGKey(3)


def _draws(draw):
    return jax.jit(draw)(KEY), jax.jit(draw)(core.fusible(KEY))


@pytest.mark.parametrize("shape", [(), (0,), (7,), (1000,), (5, 3, 8)], ids=str)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32"])
def test_bits_are_those_of_jax(shape, dtype):
    plain, fused = _draws(lambda key: jax.random.bits(key, shape, dtype))
    np.testing.assert_array_equal(plain, fused)


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
@pytest.mark.parametrize("draw", [jax.random.normal, jax.random.uniform])
def test_numbers_are_those_of_jax(draw, dtype):
    with jax.enable_x64(True):
        plain, fused = _draws(lambda key: draw(key, (33, 5), dtype))
    assert plain.dtype == dtype
    np.testing.assert_array_equal(plain, fused)


def test_keys_split_and_fold_as_those_of_jax():
    def draw(key):
        keys = jax.random.split(jax.random.fold_in(key, 7), 3)
        return jax.vmap(lambda k: jax.random.normal(k, (4,)))(keys)

    np.testing.assert_array_equal(*_draws(draw))
    np.testing.assert_array_equal(draw(KEY), draw(core.fusible(KEY)))


def test_typed_keys_are_taken_and_other_generators_left_alone():
    typed, other = jax.random.key(3), jax.random.key(3, impl="rbg")
    expected = jax.random.normal(typed, (5,))
    np.testing.assert_array_equal(jax.random.normal(core.fusible(typed), (5,)), expected)
    assert core.fusible(other) is other


def test_the_older_numbering_of_jax_is_followed():
    with jax.threefry_partitionable(False):
        np.testing.assert_array_equal(*_draws(lambda key: jax.random.normal(key, (9,))))


def test_nothing_of_the_size_of_the_numbers_is_stored():
    x = jnp.zeros(100_000)

    def temporaries(key):
        noisy = jax.jit(lambda x: x + jax.random.normal(key, x.shape), donate_argnums=0)
        program = noisy.lower(x).compile(compiler_options=testing.AS_USERS_COMPILE)
        return program.memory_analysis().temp_size_in_bytes / x.nbytes

    assert temporaries(core.fusible(KEY)) < 0.01
    assert temporaries(KEY) > 1, "jax has mended it: is the generator still worth its code?"


def test_shards_draw_their_own_part():
    mesh = jax.make_mesh((8,), ("x",), axis_types=(jax.sharding.AxisType.Auto,))
    split = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("x"))
    draw = jax.jit(lambda: jax.random.normal(core.fusible(KEY), (16, 3)), out_shardings=split)
    assert "all-" not in draw.lower().compile().as_text()
    np.testing.assert_array_equal(draw(), jax.random.normal(KEY, (16, 3)))
