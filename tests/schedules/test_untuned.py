"""Warm-ups that follow from b2, and the decay of PaLM: the papers and where they are used."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab as gl

KINDS = ["linear", "exponential", "radam"]


def rho(t, b2):
    return 2 / (1 - b2) - 1 - 2 * t * b2**t / (1 - b2**t)


def paper(kind, t, b2):
    """Ma and Yarats 2019, arXiv:1910.04209; RAdam's factor from its first defined step on."""
    if kind == "linear":
        return min(1.0, (1 - b2) / 2 * t)
    if kind == "exponential":
        return 1 - np.exp(-(1 - b2) * t)
    first = next(s for s in range(1, 100) if rho(s, b2) > 4)
    r, limit = rho(t + first - 1, b2), 2 / (1 - b2) - 1
    return np.sqrt((r - 4) * (r - 2) * limit / ((limit - 4) * (limit - 2) * r))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("b2", [0.65, 0.9, 0.999])
def test_paper(kind, b2):
    counts = np.arange(60)
    expected = [0.3 * paper(kind, t + 1, b2) for t in counts]
    schedule = gl.untuned_warmup_schedule(0.3, b2, kind)
    np.testing.assert_allclose(jax.vmap(schedule)(counts), expected, rtol=2e-4)
    with jax.enable_x64(True):
        ours = jax.vmap(schedule)(jnp.asarray(counts))
    np.testing.assert_allclose(ours, expected, rtol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_all_kinds_rise_to_the_peak_and_are_about_as_long(kind):
    factors = jax.vmap(gl.untuned_warmup_schedule(1.0, 0.99, kind))(np.arange(3000))
    assert np.all(np.diff(factors) > -1e-5)
    assert factors[-1] == pytest.approx(1.0, abs=1e-3)
    # What is missing from the peak, in steps: half of 2 / (1 - b2).
    assert np.sum(1 - factors) == pytest.approx(100, rel=0.35)


@pytest.mark.parametrize("kind", KINDS)
def test_peak_and_b2_are_leaves_with_finite_derivatives(kind):
    schedule = gl.untuned_warmup_schedule(0.3, 0.99, kind)
    assert gl.hyperparameters(schedule) == {"peak_value": 0.3, "b2": 0.99}
    assert eval(repr(schedule), vars(gl).copy()) == schedule
    with jax.enable_x64(True):
        at = jax.jit(lambda s: s(jnp.int32(7)))
        slope = jax.grad(at)(schedule)
        ahead, behind = (at(gl.replace(schedule, b2=0.99 + h)) for h in (1e-6, -1e-6))
        np.testing.assert_allclose(slope.b2, (ahead - behind) / 2e-6, rtol=1e-5)


def test_a_schedule_can_be_warmed_up():
    decay = gl.linear_schedule(1.0, 0.0, 100)
    opt = gl.adam(gl.untuned_warmup_schedule(decay, 0.9))
    state = opt.init(1.0)
    rates = []
    for _ in range(40):
        rates.append(float(gl.current(opt, state)["learning_rate"]))
        _, state = opt.update(1.0, state)
    expected = [(1 - t / 100) * min(1, (t + 1) / 20) for t in range(40)]
    np.testing.assert_allclose(rates, expected, rtol=1e-5)


def test_radam_is_adam_with_this_warm_up_once_it_is_defined():
    b2 = 0.99
    first = next(s for s in range(1, 100) if rho(s, b2) > 4)
    with jax.enable_x64(True):
        radam, g = gl.radam(1.0, b2=b2, threshold=4.0), jnp.array([0.5, -3.0])
        state = radam.init(g)
        for t in range(1, 30):
            updates, state = radam.update(g, state)
            if t >= first:
                factor = gl.untuned_warmup_schedule(1.0, b2, "radam")(t - first)
                np.testing.assert_allclose(jnp.abs(updates), factor, rtol=1e-6)


def test_palm_remembers_the_first_gradient_alone_and_then_more_and_more():
    schedule = gl.palm_b2_schedule()
    t = np.arange(1, 50)
    np.testing.assert_allclose(jax.vmap(schedule)(t - 1), 1 - t**-0.8, rtol=1e-6, atol=1e-7)
    opt = gl.inject_hyperparams(gl.scale_by_rms)(decay=schedule)
    g = jnp.array([2.0, -0.5])
    state, v = opt.init(g), 0.0
    for t in range(1, 8):
        gradient = g * t
        updates, state = opt.update(gradient, state)
        v = (1 - t**-0.8) * v + t**-0.8 * gradient**2
        np.testing.assert_allclose(updates, gradient / np.sqrt(v + 1e-8), rtol=1e-5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: gl.untuned_warmup_schedule(0.1, 1.0), r"b2=1\.0 is outside \[0, 1\)"),
        (lambda: gl.untuned_warmup_schedule(0.1, 0.6, "radam"), "b2=0.6 is not above 0.6"),
        (lambda: gl.untuned_warmup_schedule(0.1, kind="cosine"), "'linear', 'exponential'"),
        (lambda: gl.palm_b2_schedule(-0.8), r"exponent=-0\.8 is outside \[0, inf\)"),
    ],
)
def test_bad_input_names_argument_value_and_bound(make, message):
    with pytest.raises(ValueError, match=message):
        make()
