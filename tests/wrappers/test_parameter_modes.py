"""Parameters of 16 bits: they move by what the optimizer says, and land where the mode says."""

import re

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import optax
import pytest

import gradlab as gl
from gradlab import linalg
from tests.reference.load import curves

MODES = {
    "stochastic_rounding": lambda inner: gl.stochastic_rounding(inner, 0),
    "kahan_summation": gl.kahan_summation,
    "master_weights": gl.master_weights,
    "weight_splitting": gl.weight_splitting,
}
each_mode = pytest.mark.parametrize("mode", MODES)
each_dtype = pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])


def run(opt, params, steps, gradient=jnp.ones_like):
    def step(carry, _):
        params, state = carry
        updates, state = opt.update(jax.tree.map(gradient, params), state, params)
        return (optax.apply_updates(params, updates), state), params

    return jax.jit(lambda c: jax.lax.scan(step, c, None, length=steps))((params, opt.init(params)))


@pytest.mark.parametrize("make", [gl.adamw, optax.adamw, lambda lr: gl.chain(gl.adam(lr))])
def test_a_hundred_steps_of_6e_4_move_bfloat16_parameters_by_6e_2(make):
    params = jnp.ones(4096, jnp.bfloat16)
    (still, _), _ = run(optax.adam(6e-4), params, 100)
    assert float(jnp.max(jnp.abs(still - 1))) == 0.0
    (exact, _), _ = run(make(6e-4), params.astype(jnp.float32), 100)
    moved = 1 - float(exact[0])
    assert abs(moved - 0.06) < 1e-3
    for name, mode in MODES.items():
        (end, _), _ = run(mode(make(6e-4)), params, 100)
        off = np.asarray(end, np.float64) - (1 - moved)
        if name == "stochastic_rounding":
            assert abs(off.mean()) < 0.02 * moved
            assert np.unique(np.asarray(end, np.float32)).size > 2
        else:
            assert np.max(np.abs(off)) < 0.002, name


def extreme(draw, n, dtype):
    """Numbers over the whole range of a dtype, with both signs, zeros and subnormals."""
    to = jnp.finfo(dtype)
    exponents = draw.uniform(to.minexp - to.nmant, to.maxexp - 1, n)
    values = draw.choice([-1.0, 1.0], n) * 2.0**exponents
    values[::50] = 0.0
    return values


@each_mode
@each_dtype
@pytest.mark.parametrize("kind", ["any", "opposite", "close", "small"])
def test_parameters_land_exactly_where_the_mode_says(mode, dtype, kind, monkeypatch):
    draw = np.random.default_rng(3)
    n = 50_000
    p = jnp.asarray(extreme(draw, n, dtype).astype(np.float32), dtype)
    wide = np.asarray(p, np.float32)
    step = {
        "any": lambda: extreme(draw, n, dtype),
        "opposite": lambda: -wide * (1 + draw.normal(size=n) * 10.0 ** draw.uniform(-8, -1, n)),
        "close": lambda: -wide + extreme(draw, n, dtype),
        "small": lambda: wide * draw.normal(size=n) * 10.0 ** draw.uniform(-8, 0, n),
    }[kind]()
    step = jnp.asarray(
        np.clip(step, *(float(jnp.finfo(jnp.float32).min) / 4 * s for s in (1, -1))), jnp.float32
    )
    opt = MODES[mode](gl.sgd(1.0))
    chosen = []
    land = type(opt.rule).land

    def recorded(self, *arguments):
        value, memory = land(self, *arguments)
        chosen.append(value)
        return value, memory

    monkeypatch.setattr(type(opt.rule), "land", recorded)

    @jax.jit
    def once(p, g, state):
        updates, state = opt.update(g, state, p)
        return optax.apply_updates(p, updates), chosen.pop(), state

    state = opt.init(p)
    for _ in range(2):
        new, value, state = once(p, -step, state)
        assert new.dtype == dtype
        np.testing.assert_array_equal(np.asarray(new, np.float32), np.asarray(value))
        p = jnp.where(jnp.isfinite(new), new, 0)


@each_dtype
def test_rounding_to_the_nearest_is_the_cast_of_ieee(dtype):
    draw = np.random.default_rng(4)
    x = extreme(draw, 200_000, dtype).astype(np.float32)
    x[:4] = [np.inf, -np.inf, np.nan, 0.0]
    grid = np.asarray(jnp.asarray(x[:1000], dtype), np.float64)
    upper = np.asarray(np.nextafter(grid.astype(dtype), np.array(np.inf, dtype)), np.float64)
    x = np.concatenate([x, ((grid + upper) / 2).astype(np.float32)])
    # The CPU backend takes float32 subnormals for zero.
    x = np.where(np.abs(x) < np.finfo(np.float32).tiny, 0, x).astype(np.float32)
    largest = float(ml_dtypes.finfo(dtype).max)
    with np.errstate(over="ignore"):
        beyond = np.float32([largest * 1.0001, largest * (1 + 2.0**-9), -largest * 1.004])
        x = np.append(x, beyond)
        expected = x.astype(dtype).astype(np.float32)
    found = np.asarray(jax.jit(linalg.round_to_nearest, static_argnums=1)(x, dtype))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("curve", curves("kahan_summation"), ids=lambda c: c.name)
def test_kahan_summation_of_another_package(curve):
    rate, start = curve.settings["learning_rate"], jnp.asarray(curve.params)
    assert start.dtype == jnp.float16

    def places(opt):
        def step(carry, g):
            params, state = carry
            updates, state = opt.update(g, state, params)
            params = optax.apply_updates(params, updates)
            return (params, state), (params, state)

        run = jax.jit(lambda c, g: jax.lax.scan(step, c, g)[1])
        params, states = run((start, opt.init(start)), jnp.asarray(curve.gradients))
        return np.asarray(params, np.float64), states

    ours, states = places(gl.kahan_summation(gl.sgd(rate)))
    theirs = curve.states["params"].astype(np.float64)
    # Units in the last place: sums in 16 bits now and then fall on the other side of a middle.
    units = np.abs(np.spacing(curve.states["params"])).astype(np.float64)
    assert np.mean(ours != theirs) < 0.01
    np.testing.assert_array_less(np.abs(ours - theirs), 1.5 * units)
    kept = np.asarray(states.compensation, np.float64)
    both = theirs + curve.states["compensation"].astype(np.float64)
    np.testing.assert_array_less(np.abs(ours + kept - both), 0.2 * units)
    assert np.max(np.abs(places(gl.sgd(rate))[0] - theirs) / units) > 3


@each_dtype
@pytest.mark.parametrize("x", [1.0 + 0.3 / 128, -0.7301, 3.7e-6, 1e4 + 1 / 3])
def test_stochastic_rounding_is_unbiased(dtype, x):
    n = 10_000
    bits = jax.random.bits(jax.random.key(5), (n,), jnp.uint32)
    rounded = linalg.round_stochastically(jnp.full(n, x, jnp.float32), dtype, bits)
    values = np.unique(np.asarray(rounded, np.float64))
    assert values.size == 2
    assert values[0] < np.float32(x) < values[1]
    np.testing.assert_array_equal(values, np.asarray(jnp.asarray(values, dtype), np.float64))
    error = np.asarray(rounded, np.float64).mean() - np.float32(x)
    assert abs(error) < 4 * np.asarray(rounded, np.float64).std() / n**0.5


@each_dtype
def test_stochastic_rounding_leaves_what_needs_no_rounding(dtype):
    to = jnp.finfo(dtype)
    exact = jnp.array([0.0, -0.0, 1.0, -1.5, to.max, -to.max, jnp.inf, jnp.nan], dtype)
    wide = exact.astype(jnp.float32)
    for word in (0, 2**32 - 1):
        rounded = linalg.round_stochastically(wide, dtype, jnp.full(8, word, jnp.uint32))
        np.testing.assert_array_equal(rounded, wide)
        assert np.signbit(rounded[1])
    most = jnp.float32(to.max) * 1.0001
    rounded = linalg.round_stochastically(most, dtype, jnp.uint32(2**32 - 1))
    assert float(rounded) == float(to.max)


def test_the_key_decides_the_bits():
    params = {"a": jnp.ones(512, jnp.bfloat16), "b": jnp.ones(512, jnp.bfloat16)}
    ends = [
        run(gl.stochastic_rounding(gl.sgd(1e-3), key), params, 3)[0]
        for key in (0, 0, jax.random.key(0), 1)
    ]
    first = jax.tree.map(np.asarray, ends[0])
    for other in ends[1:3]:
        jax.tree.map(np.testing.assert_array_equal, first, jax.tree.map(np.asarray, other))
    assert np.any(first[0]["a"] != np.asarray(ends[3][0]["a"]))
    assert np.any(first[0]["a"] != first[0]["b"])
    assert np.any(first[1].key != np.asarray(ends[3][1].key))


@each_mode
@pytest.mark.parametrize("inner", [gl.adamw(0.1, weight_decay=0.1), optax.adamw(0.1)])
def test_with_float32_parameters_the_program_is_the_inner_optimizers(mode, inner):
    params = {"w": jnp.ones((3, 2)), "b": jnp.ones(2)}

    def program(opt):
        def step(gradients, state, params):
            updates, state = opt.update(gradients, state, params)
            return optax.apply_updates(params, updates), state

        text = jax.jit(step).lower(params, opt.init(params), params).as_text()
        return re.sub(r'jax.result_info = "[^"]*"', "", text)  # names of the state's fields

    assert program(MODES[mode](inner)) == program(inner)


@each_mode
def test_only_narrow_parameters_are_touched_and_the_inner_state_is_float32(mode):
    opt = MODES[mode](optax.adam(0.01))
    params = {"narrow": jnp.ones(4, jnp.float16), "wide": jnp.ones(4), "none": None}
    (end, state), _ = run(opt, params, 5)
    plain, _ = run(optax.adam(0.01), {"wide": jnp.ones(4)}, 5)
    np.testing.assert_array_equal(end["wide"], plain[0]["wide"])
    assert state.inner_state[0].mu["narrow"].dtype == jnp.float32
    assert opt.rule.inner_states(state)["inner"] is state.inner_state
    masked = {**jax.tree.map(jnp.ones_like, params), "narrow": None}
    updates, _ = MODES[mode](gl.sgd(0.1)).update(
        masked, MODES[mode](gl.sgd(0.1)).init(params), params
    )
    assert updates["narrow"] is None
    assert updates["wide"] is not None


def numpy_kahan(dtype, p, steps):
    c = np.zeros_like(p)
    for u in steps:
        y = u + c.astype(np.float32)
        q = (p.astype(np.float32) + y).astype(dtype)
        c = (y - (q.astype(np.float32) - p.astype(np.float32))).astype(dtype)
        p = q
        yield p


def numpy_splitting(dtype, p, steps):
    rho = np.zeros(p.shape, np.int8)

    def half(p):
        _, exponent = np.frexp(p.astype(np.float32))
        return np.ldexp(np.float32(1), exponent - 1 - ml_dtypes.finfo(dtype).nmant - 1)

    for u in steps:
        w = p.astype(np.float32) + rho.astype(np.float32) * half(p) / np.float32(127) + u
        p = w.astype(dtype)
        rho = np.round((w - p.astype(np.float32)) / half(p) * 127).astype(np.int8)
        yield p


@each_dtype
@pytest.mark.parametrize(
    ("mode", "paper"), [("kahan_summation", numpy_kahan), ("weight_splitting", numpy_splitting)]
)
def test_the_papers_in_numpy(dtype, mode, paper):
    draw = np.random.default_rng(6)
    start = (draw.normal(size=64) + 2).astype(dtype)
    steps = (draw.normal(size=(200, 64)) * 1e-3 + 1e-3).astype(np.float32)
    opt = MODES[mode](gl.sgd(1.0))

    def step(carry, g):
        params, state = carry
        updates, state = opt.update(g, state, params)
        params = optax.apply_updates(params, updates)
        return (params, state), params

    params = jnp.asarray(start)
    found = jax.jit(lambda c, g: jax.lax.scan(step, c, g)[1])((params, opt.init(params)), -steps)
    for i, expected in enumerate(paper(dtype, start, steps)):
        np.testing.assert_array_equal(np.asarray(found[i]), expected)


@each_dtype
def test_a_pair_has_eight_bits_more_than_its_first_part(dtype):
    draw = np.random.default_rng(7)
    to = jnp.finfo(dtype)
    x = jnp.asarray(draw.normal(size=10_000) * 10.0 ** draw.uniform(-3, 3, 10_000), jnp.float32)
    rounded, codes = linalg.split(x, dtype)
    again = linalg.join(rounded, codes, dtype)
    np.testing.assert_array_equal(rounded, x.astype(dtype).astype(jnp.float32))
    # Half a code of half a unit.
    bound = 2.0 ** (-to.nmant - 1) / 127 / 2 * 1.01
    size = jnp.maximum(jnp.abs(x), to.smallest_normal)
    assert float(jnp.max(jnp.abs(again - x) / size)) < bound
    assert float(jnp.max(jnp.abs(rounded - x) / size)) > 100 * bound
    assert int(jnp.max(jnp.abs(codes.astype(jnp.int32)))) == 127


@each_mode
def test_hypergradients_of_narrow_runs_are_those_of_float32(mode):
    target = jnp.linspace(-1, 1, 64)

    def final(opt, dtype):
        params = jnp.linspace(0.5, 1.5, 64).astype(dtype)

        def gradient(p):
            return p - target.astype(p.dtype)

        (end, _), _ = run(opt, params, 10, gradient)
        return jnp.sum((end.astype(jnp.float32) - target) ** 2)

    inner = gl.adam(0.01)
    narrow = jax.grad(final)(gl.as_arrays(MODES[mode](inner)), jnp.bfloat16)
    wide = jax.grad(final)(gl.as_arrays(inner), jnp.float32)
    slopes = [float(x.inner.learning_rate) for x in (narrow,)] + [float(wide.learning_rate)]
    assert abs(slopes[0] / slopes[1] - 1) < 0.1
    assert all(bool(jnp.isfinite(x)) for x in jax.tree.leaves(narrow))
    zero = jax.grad(lambda o: run(o, jnp.zeros(3, jnp.bfloat16), 3, jnp.zeros_like)[0][0].sum())
    slope = zero(gl.as_arrays(MODES[mode](inner)))
    assert all(bool(jnp.isfinite(x)) for x in jax.tree.leaves(slope))


def test_wide_updates_pass_a_chain_and_another_wrapper():
    inner = gl.chain(gl.clip_by_global_norm(1e6), gl.kahan_summation(gl.sgd(1e-3)))
    named = gl.named_chain(("clip", gl.clip_by_global_norm(1e6)), ("sum", inner))
    around = gl.sam(gl.kahan_summation(gl.sgd(1e-3)), 0.0)
    p = jnp.ones(4, jnp.bfloat16)
    for opt in (inner, named, around):
        updates, _ = opt.update(p, opt.init(p), p, grad_fn=lambda p: p)
        assert updates.dtype == jnp.float32
    assert gl.chain().update(p, (), p)[0].dtype == jnp.bfloat16


@each_mode
def test_what_is_missing_is_said(mode):
    p = jnp.ones(2, jnp.bfloat16)
    opt = MODES[mode](gl.sgd(0.1))
    with pytest.raises(ValueError, match=f"{mode}: update needs the parameters"):
        opt.update(p, opt.init(p))
    with pytest.raises(TypeError, match="gradient transformation"):
        MODES[mode](gl.sgd)
