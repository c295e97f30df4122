"""Elementary functions are the plain formula with finite derivatives at zero."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradlab import core

SPECIAL = jnp.array([0.0, -0.0, 1e-45, 1e-38, 1e-20, 0.5, 1.0, 3e38, jnp.inf, jnp.nan], jnp.float32)


@pytest.mark.parametrize(
    ("ours", "plain"),
    [
        (core.sqrt, jnp.sqrt),
        (core.reciprocal_sqrt, lambda x: jax.lax.rsqrt(x)),
        (core.absolute, jnp.abs),
        (lambda x: core.divide(x, x + 1), lambda x: x / (x + 1)),
        (lambda x: core.divide(jnp.ones_like(x), x), lambda x: 1 / x),
    ],
    ids=["sqrt", "reciprocal_sqrt", "absolute", "quotient", "reciprocal"],
)
def test_values_are_the_plain_formula_bit_for_bit_where_that_is_finite(ours, plain):
    a, b = np.asarray(ours(SPECIAL)), np.asarray(plain(SPECIAL))
    finite = np.isfinite(b)
    np.testing.assert_array_equal(a[finite].view(np.uint32), b[finite].view(np.uint32))
    np.testing.assert_array_equal(np.isnan(a), np.isnan(b))


SCALAR_FUNCTIONS = {
    "sqrt": core.sqrt,
    "reciprocal_sqrt": core.reciprocal_sqrt,
    "norm": lambda x: core.norm(x * jnp.ones(3)),
    "global_norm": lambda x: core.global_norm({"a": x * jnp.ones(3), "b": x}),
    "zero over zero": lambda x: core.divide(x, x),
    "adam's quotient": lambda x: core.divide(x, core.sqrt(x * x) + 1e-30),
}


@pytest.mark.parametrize("name", SCALAR_FUNCTIONS)
@pytest.mark.parametrize("transform", [jax.grad, jax.jacfwd], ids=["reverse", "forward"])
def test_first_and_second_derivatives_are_finite_at_zero(name, transform):
    f = SCALAR_FUNCTIONS[name]
    zero = jnp.float32(0.0)
    assert np.isfinite(transform(f)(zero))
    assert np.isfinite(transform(transform(f))(zero))
    assert np.isfinite(jax.grad(jax.jacfwd(f))(zero))


@pytest.mark.parametrize("x", [0.3, 2.0])
def test_derivatives_away_from_zero_are_the_plain_ones(x):
    x = jnp.float32(x)
    np.testing.assert_allclose(jax.grad(core.sqrt)(x), jax.grad(jnp.sqrt)(x), rtol=1e-6)
    np.testing.assert_allclose(
        jax.grad(jax.grad(core.sqrt))(x), jax.grad(jax.grad(jnp.sqrt))(x), rtol=1e-6
    )
    ours = jax.grad(lambda y: core.divide(x, y))(x + 1)
    np.testing.assert_allclose(ours, jax.grad(lambda y: x / y)(x + 1), rtol=1e-6)


def test_the_quotients_derivative_does_not_overflow_for_a_tiny_divisor():
    derivative = jax.grad(lambda y: core.divide(jnp.float32(0.0), y))(jnp.float32(1e-30))
    assert derivative == 0.0


def test_norms_of_complex_arrays_are_real():
    x = jnp.array([3 + 4j, 0j])
    assert core.norm(x) == 5.0
    assert core.norm(x).dtype == jnp.float32
    assert core.global_norm({}) == 0.0


def test_norm_keeps_the_axes_that_it_is_told_to():
    np.testing.assert_allclose(
        core.norm(jnp.ones((2, 4)), axis=1, keepdims=True), 2 * np.ones((2, 1))
    )


@pytest.mark.parametrize("b", [0.0, 0.5, 0.9, 0.999, 0.9999])
@pytest.mark.parametrize("t", [1, 2, 10, 10_000])
def test_bias_correction_and_its_derivative_are_right_on_the_whole_range(b, t):
    count = jnp.int32(t)
    exact = 1 - b**t
    # Rounding b costs half an ulp of 1 for each factor, the power one ulp more.
    rounding = np.finfo(np.float32).epsneg * (t * b ** (t - 1) / 2 + 1)
    traced = jax.jit(core.bias_correction)(b, count)
    assert abs(traced - exact) <= rounding
    derivative = jax.grad(lambda b: core.bias_correction(b, count))(b)
    np.testing.assert_allclose(derivative, -t * b ** (t - 1), rtol=1e-3, atol=1e-30)


@pytest.mark.parametrize("zero", [0.0, 0.0j])
def test_the_absolute_value_does_not_move_at_zero(zero):
    assert jax.grad(core.absolute)(jnp.asarray(zero)) == 0
    assert jax.grad(core.absolute)(jnp.float32(-2.0)) == -1


def test_the_inner_product_is_that_of_all_arrays_and_real():
    left = {"a": jnp.array([1 + 2j, 0.5]), "b": jnp.array([3.0], jnp.bfloat16), "none": None}
    right = {"a": jnp.array([2 - 1j, 4.0]), "b": jnp.array([2.0]), "none": None}
    found = core.inner_product(left, right)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, 0 + 2 + 6)
    np.testing.assert_allclose(core.inner_product(left, left), core.global_norm(left) ** 2)
    assert core.inner_product({}, {}) == 0


def test_a_power_is_the_plain_one_and_flat_at_zero():
    x = jnp.array([0.0, 0.25, 1.0, 3.0])
    np.testing.assert_array_equal(core.power(x, 1.5), x**1.5)
    np.testing.assert_array_equal(core.power(x, 0.0), jnp.ones(4))
    for derivative in (jax.grad, lambda f: jax.grad(jax.grad(f))):
        assert derivative(lambda y: core.power(y, 1.5))(0.0) == 0.0
    np.testing.assert_allclose(jax.grad(lambda y: core.power(y, 1.5))(4.0), 3.0)
    assert jnp.isfinite(jax.grad(lambda e: core.power(jnp.zeros([]), e))(2.0))
