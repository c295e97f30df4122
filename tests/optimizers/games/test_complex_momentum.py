"""Complex momentum: its paper, what it contains, and the games that it converges on."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab as gl
from gradlab.optimizers.games import _complex_momentum
from tests import agreement
from tests.optimizers.games import play

ANGLED = {"momentum": 0.7, "momentum_angle": 2.5, "learning_rate_angle": 0.6, "weight_decay": 0.1}


@pytest.mark.parametrize("settings", [{}, ANGLED], ids=["defaults", "angled"])
def test_paper(settings):
    agreement.assert_matches_paper(
        gl.complex_momentum(0.01, **settings), "complex_momentum", learning_rate=0.01, **settings
    )


def test_at_angle_zero_it_is_momentum():
    agreement.assert_same_numbers(gl.complex_momentum(0.1, 0.9, 0.0), gl.sgd(0.1, momentum=0.9))


def test_at_angle_pi_it_is_negative_momentum():
    agreement.assert_same_numbers(
        gl.complex_momentum(0.1, 0.9, math.pi), gl.sgd(0.1, momentum=-0.9)
    )


def test_without_memory_it_is_gradient_descent_with_a_shorter_step():
    agreement.assert_same_numbers(
        gl.complex_momentum(0.1, 0.0, 2.0, learning_rate_angle=0.6), gl.sgd(0.1 * math.cos(0.6))
    )


def test_the_sign_of_an_angle_alone_does_not_matter():
    agreement.assert_same_numbers(
        gl.complex_momentum(0.1, 0.9, 0.4), gl.complex_momentum(0.1, 0.9, -0.4)
    )


def test_a_gradient_counts_with_a_weight_that_oscillates_as_it_decays():
    impulse = jnp.zeros(12).at[0].set(1.0)
    opt = gl.scale_by_complex_momentum(0.8, 0.5)
    updates, _ = agreement.open_loop(opt, impulse, jnp.float32(0.0))
    k = np.arange(12)
    np.testing.assert_allclose(updates, 0.8**k * np.cos(0.5 * k), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("params", ["bfloat16", "float16", "float32", "float64"])
def test_the_buffer_is_one_complex_number_a_parameter(params):
    buffer = "complex128" if params == "float64" else "complex64"
    with jax.enable_x64(True):
        state = gl.complex_momentum(0.1).init({"w": jnp.ones(3, params)})
        assert state[0].trace["w"].dtype == buffer
        assert state[0].trace["w"].shape == (3,)


def test_complex_numbers_are_refused_and_work_as_pairs():
    opt, params = gl.complex_momentum(0.1), jnp.array([1 + 2j, -1j])
    with pytest.raises(TypeError, match=r"complex_momentum: .*split_real_and_imaginary"):
        opt.init(params)
    with pytest.raises(TypeError, match="complex_momentum"):
        opt.update(params, opt.init(params.real), params.real)
    split = gl.contrib.split_real_and_imaginary(opt)
    updates, state = split.update(params, split.init(params), params)
    updates, _ = split.update(params, state, params)
    expected = -0.1 * (1 + 0.9 * math.cos(math.pi / 8)) * params
    np.testing.assert_allclose(updates, expected, rtol=1e-6)


RATES, DECAYS = np.geomspace(0.01, 1.0, 9), np.linspace(0.0, 0.95, 12)
POSITIVE, ALMOST, HALF_WAY, NEGATIVE = 0.0, math.pi / 8, math.pi / 2, math.pi


def best(game, angle):
    """The smallest spectral radius over learning rates and moduli."""
    opts = [gl.complex_momentum(rate, decay, angle) for rate in RATES for decay in DECAYS]
    return play.spectral_radii(opts, game).min()


def test_it_converges_on_the_bilinear_game_where_no_real_momentum_does():
    assert best(play.BILINEAR, POSITIVE) > 1
    assert best(play.BILINEAR, NEGATIVE) > 1
    assert best(play.BILINEAR, ALMOST) < 0.99
    assert best(play.BILINEAR, HALF_WAY) < 0.97


def test_players_of_the_bilinear_game_find_its_solution():
    complex_momentum = gl.complex_momentum(0.1, 0.8, ALMOST)
    assert play.distances(complex_momentum, play.BILINEAR, 600)[-1] < 1e-4
    assert play.distances(complex_momentum, play.BILINEAR, 600, in_turn=True)[-1] < 1e-4
    for momentum in (0.0, 0.8, -0.8):
        away = play.distances(gl.sgd(0.1, momentum=momentum), play.BILINEAR, 300)
        assert away[-1] > away[0], momentum


def test_from_cooperation_to_competition_a_small_angle_always_converges():
    cooperative, between, adversarial = map(play.mixture, (0.0, 0.9, 1.0))
    # Alone at one end momentum is best, at the other it fails, as negative momentum does.
    assert best(cooperative, POSITIVE) < best(cooperative, ALMOST) < best(cooperative, HALF_WAY)
    assert best(cooperative, HALF_WAY) < best(cooperative, NEGATIVE)
    assert best(between, ALMOST) < best(between, POSITIVE)
    assert best(adversarial, ALMOST) < 0.995
    assert min(best(adversarial, POSITIVE), best(adversarial, NEGATIVE)) > 1


def test_the_jacobian_of_a_step_is_the_papers():
    rate, beta, game = 0.3, 0.8 * np.exp(0.4j), play.mixture(0.9, players=2)
    eye, zero = np.eye(4), np.zeros((4, 4))
    # Real and imaginary part of the buffer (of negative gradients), then the parameters.
    matrix = np.block(
        [
            [beta.real * eye, -beta.imag * eye, -game],
            [beta.imag * eye, beta.real * eye, zero],
            [rate * beta.real * eye, -rate * beta.imag * eye, eye - rate * game],
        ]
    )
    found = play.spectral_radii([gl.complex_momentum(rate, 0.8, 0.4)], game)[0]
    np.testing.assert_allclose(found, np.abs(np.linalg.eigvals(matrix)).max(), rtol=1e-10)


def test_a_lost_imaginary_part_is_seen(monkeypatch):
    monkeypatch.setattr(_complex_momentum, "unit", lambda angle: jnp.cos(angle) + 0j)
    with pytest.raises(AssertionError):
        agreement.assert_matches_paper(
            gl.complex_momentum(0.01), "complex_momentum", learning_rate=0.01
        )
