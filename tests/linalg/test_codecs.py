"""Arrays in few bits: levels, round trips, what is kept of zeros, shapes and derivatives."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradlab import linalg
from gradlab.linalg import _codecs
from tests.paper import quantize_state as paper
from tests.reference.load import curves

KINDS = list(itertools.product(linalg.CODECS, (True, False)))
each_kind = pytest.mark.parametrize(("name", "signed"), KINDS)
# Half of the largest distance between neighbouring levels.
WORST = {
    ("int8", True): 0.9 / 64 / 2,
    ("int8", False): 0.9 / 128 / 2,
    ("int4", True): 0.9 / 4 / 2,
    ("int4", False): 1 / 16,
    ("float8_e4m3fn", True): 1 / 28,
    ("float8_e4m3fn", False): 1 / 28,
    ("float8_e5m2", True): 1 / 14,
    ("float8_e5m2", False): 1 / 14,
}


def numbers(shape, signed, seed=0):
    draw = np.random.default_rng(seed)
    x = draw.normal(size=shape) * 10.0 ** draw.uniform(-4, 2, shape)
    return jnp.asarray(x if signed else x**2, jnp.float32)


def round_trip(x, codec, block_size):
    codes, scales = linalg.encode(x, codec, block_size)
    return linalg.decode(codes, scales, codec, block_size, x.shape)


@pytest.mark.parametrize(("decades", "signed"), [(7, True), (7, False), (3, True)])
def test_the_levels_are_those_of_bitsandbytes(decades, signed):
    (curve,) = curves("quantize_state")
    name = ("signed_map" if signed else "unsigned_map") + "_of_4_bits" * (decades == 3)
    levels = linalg.dynamic_map(decades, signed)
    np.testing.assert_allclose(levels, curve.extra[name], rtol=3e-7)
    codec = _codecs.Dynamic("", 8, 1, signed, decades)
    computed = codec.level(jnp.arange(levels.size, dtype=jnp.uint8), jnp.float32)
    np.testing.assert_allclose(computed, levels, rtol=1e-6)


@each_kind
@pytest.mark.parametrize("shape", [(7, 33), (8, 64), ()])
def test_a_round_trip_is_as_near_as_the_levels_lie(name, signed, shape):
    codec = linalg.codec_named(name, signed)
    x = numbers(shape, signed)
    back = np.asarray(jax.jit(round_trip, static_argnums=(1, 2))(x, codec, 16))
    flat, found = np.asarray(x).reshape(-1), back.reshape(-1)
    for start in range(0, flat.size, 16):
        block = flat[start : start + 16]
        error = np.max(np.abs(block - found[start : start + 16]))
        assert error <= WORST[name, signed] * np.max(np.abs(block)) * (1 + 1e-4)


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("name", ["int8", "int4"])
def test_every_number_gets_the_nearest_level(name, signed):
    codec = linalg.codec_named(name, signed)
    x = np.concatenate(
        [np.linspace(-1 if signed else 0, 1, 40_001), 10.0 ** np.linspace(-7, 0, 999)]
    )
    x[0] = 1.0
    if name == "int8" or signed:
        levels = paper.dynamic_map(signed, codec.decades)
    else:
        levels = paper.linear_map()
    with jax.enable_x64(True):
        found = np.asarray(round_trip(jnp.asarray(x), codec, x.size))
    distance = np.min(np.abs(x[:, None] - levels), 1)
    if name == "int8" and not signed:
        distance = np.where((x > 0) & (x < levels[1]), levels[1] - x, distance)
    np.testing.assert_allclose(np.abs(x - found), distance, atol=1e-12)
    assert np.all(np.min(np.abs(found[:, None] - levels), 1) < 1e-12)


@each_kind
def test_zeros_stay_zero(name, signed):
    codec = linalg.codec_named(name, signed)
    assert np.all(np.asarray(round_trip(jnp.zeros((5, 6)), codec, 8)) == 0)
    if (name, signed) != ("int4", False):
        x = jnp.zeros(20).at[3].set(2.0)
        np.testing.assert_allclose(round_trip(x, codec, 8), x, rtol=1e-6)
    assert round_trip(jnp.zeros((0, 3)), codec, 8).shape == (0, 3)


@pytest.mark.parametrize("name", linalg.CODECS)
def test_what_is_positive_stays_positive_where_a_step_divides_by_it(name):
    codec = linalg.codec_named(name, signed=False)
    x = jnp.asarray(10.0 ** np.linspace(-30, 0, 200), jnp.float32)
    assert np.all(np.asarray(round_trip(x, codec, 256)) > 0)


@pytest.mark.parametrize("name", linalg.CODECS)
@pytest.mark.parametrize("shape", [(6, 10), (6, 5), (7,), ()])
def test_codes_take_the_bytes_that_are_promised(name, shape):
    codec = linalg.codec_named(name)
    codes, scales = linalg.encode(jnp.ones(shape), codec, 4)
    numbers = int(np.prod(shape))
    assert codes.nbytes == -(-numbers * codec.bits // 8)
    assert scales.shape == (-(-numbers // 4),)
    if codec.bits == 8:
        assert codes.shape == shape
    elif shape == (6, 10):
        assert codes.shape == (6, 5)


@each_kind
def test_a_scaled_block_is_kept_scaled_and_the_derivative_says_so(name, signed):
    codec = linalg.codec_named(name, signed)
    x = numbers((40,), signed)

    def scaled(t):
        return round_trip(x * t, codec, 16)

    back, slope = jax.jvp(scaled, (1.0,), (1.0,))
    np.testing.assert_allclose(slope, back, rtol=1e-5)
    gradient = jax.grad(lambda x: jnp.sum(round_trip(x, codec, 16)))(jnp.zeros(20))
    assert np.all(np.isfinite(gradient))


@each_kind
def test_vmapped_arrays_are_coded_one_by_one(name, signed):
    codec = linalg.codec_named(name, signed)
    x = numbers((3, 5, 7), signed)
    mapped = jax.vmap(lambda row: round_trip(row, codec, 8))(x)
    for row, one in zip(x, mapped, strict=True):
        np.testing.assert_array_equal(round_trip(row, codec, 8), one)


def test_an_unknown_codec_is_refused():
    with pytest.raises(ValueError, match="unknown codec 'int9'; did you mean 'int8'"):
        linalg.codec_named("int9")


def test_a_dtype_that_the_device_lacks_is_refused(monkeypatch):
    monkeypatch.setattr(_codecs, "has_dtype", lambda name: False)
    with pytest.raises(ValueError, match="cpu devices have no float8_e5m2"):
        linalg.codec_named("float8_e5m2")
    assert linalg.codec_named("int8").bits == 8


def test_whether_a_device_has_a_dtype_is_tried():
    assert _codecs.has_dtype("float32")
    assert not _codecs.has_dtype("no_such_dtype")
