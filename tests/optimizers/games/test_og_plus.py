"""OG+ and OptDA+: the paper, what they contain, noise in the bilinear game."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab as gl
from gradlab.optimizers.games._og_plus import OGPlus
from tests import agreement
from tests.optimizers.games import play

METHODS = ("og_plus", "optda_plus")


def falling(power):
    """A rate that falls with the steps."""
    return lambda t: 0.3 * (1 + t) ** -power


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "rates", [(0.05, 0.2), (falling(0.75), falling(0.25))], ids=["constant", "falling"]
)
def test_paper(method, rates):
    names = dict(zip(("learning_rate", "extrapolation_rate"), rates, strict=True))
    agreement.assert_matches_paper(getattr(gl, method)(*rates), method, **names)


def test_paper_with_weight_decay():
    settings = {"learning_rate": 0.05, "extrapolation_rate": 0.2, "weight_decay": 0.1}
    agreement.assert_matches_paper(gl.og_plus(**settings), "og_plus", **settings)


def test_with_a_constant_rate_dual_averaging_is_the_same():
    agreement.assert_same_numbers(gl.optda_plus(0.05, 0.2), gl.og_plus(0.05, 0.2))


def test_without_looking_ahead_it_is_gradient_descent():
    agreement.assert_same_numbers(
        gl.og_plus(0.1, 0.0, weight_decay=0.2), gl.sgd(0.1, weight_decay=0.2)
    )


def test_after_the_first_step_it_is_optimistic_gradient_descent():
    with jax.enable_x64(True):
        gradients, params = map(jnp.asarray, (agreement.gradient_sequence(), agreement.start()))
        ours = agreement.open_loop(gl.og_plus(0.05, 0.2), gradients, params)[0]
        optimistic = gl.optimistic_gradient_descent(0.05, beta=4.0)
        theirs = agreement.open_loop(optimistic, gradients, params)[0]
    scale = np.ones(len(theirs))
    scale[0] = 5.0  # where optimism begins with the first gradient, this begins with none
    np.testing.assert_allclose(ours, scale[:, None] * np.asarray(theirs), rtol=1e-10, atol=1e-13)


def test_the_base_point_is_the_parameters_less_what_they_are_ahead():
    opt, params = gl.og_plus(0.1, 0.5), jnp.array([1.0, 2.0])
    updates, state = opt.update(params, opt.init(params), params)
    np.testing.assert_allclose(params + updates - state[0].ahead, 0.9 * params, rtol=1e-6)


def test_the_schedules_are_read_at_the_count():
    for opt in (gl.og_plus, gl.optda_plus):
        made = opt(gl.linear_schedule(1.0, 0.0, 4), gl.linear_schedule(2.0, 0.0, 4))
        state = made.init(jnp.zeros(2))
        _, state = made.update(jnp.ones(2), state, jnp.zeros(2))
        found = gl.current(made, state)
        assert (found["learning_rate"], found["extrapolation_rate"]) == (0.75, 1.5)


@pytest.mark.parametrize("method", METHODS)
def test_it_converges_on_the_bilinear_game_only_with_a_look_ahead(method):
    make = getattr(gl, method)
    assert play.distances(make(0.1, 0.3), play.BILINEAR, 600)[-1] < 1e-4
    assert play.distances(make(0.1, 0.0), play.BILINEAR, 600)[-1] > 10


def noisy(opt, *, relative=0.0, added=0.0, steps, seeds=16):
    """The root mean square distance from the solution of the bilinear game, at each step."""
    game = jnp.asarray(play.BILINEAR, jnp.float32)

    def run(key):
        def step(carry, key):
            params, state = carry
            noise = jax.random.normal(key, (2, 2))
            gradients = (game @ params) * (1 + relative * noise[0]) + added * noise[1]
            updates, state = opt.update(gradients, state, params)
            params = params + updates
            return (params, state), jnp.sum(params**2)

        params = jnp.ones(2)
        keys = jax.random.split(key, steps)
        return jax.lax.scan(step, (params, opt.init(params)), keys)[1]

    return np.sqrt(jax.jit(jax.vmap(run))(jax.random.split(jax.random.key(0), seeds)).mean(0))


def test_under_multiplicative_noise_it_converges_once_the_rates_are_separated():
    separated = noisy(gl.og_plus(0.1, 0.3), relative=1.0, steps=600)
    together = noisy(gl.og_plus(0.3, 0.3), relative=1.0, steps=600)
    assert separated[-1] < 1e-3
    assert together[-1] > 1


def test_under_additive_noise_falling_rates_come_closer_when_separated():
    together, *separated = (
        noisy(opt, added=1.0, steps=1000)[-200:].mean()
        for opt in (
            gl.og_plus(falling(0.5), falling(0.5)),
            gl.og_plus(falling(0.75), falling(0.25)),
            gl.optda_plus(falling(0.75), falling(0.25)),
        )
    )
    assert max(separated) < 0.9 * together


def test_a_forgotten_look_ahead_is_seen(monkeypatch):
    right = OGPlus.update

    def wrong(self, updates, state, params=None, **extra):
        """What the parameters were ahead is not taken back."""
        fresh = state[0]._replace(ahead=jax.tree.map(jnp.zeros_like, state[0].ahead))
        return right(self, updates, (fresh, *state[1:]), params, **extra)

    monkeypatch.setattr(OGPlus, "update", wrong)
    with pytest.raises(AssertionError):
        agreement.assert_matches_paper(
            gl.og_plus(0.05, 0.2), "og_plus", learning_rate=0.05, extrapolation_rate=0.2
        )
