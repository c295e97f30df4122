"""Both forms of optimistic Adam: paper, other code, optax, the bilinear game."""

import warnings

import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradlab as gl
from gradlab.optimizers.games._optimistic_adam_v2 import OptimisticAdamV2
from tests import agreement
from tests.optimizers.games import play
from tests.paper import transcription
from tests.reference.load import curves

BETAS = {"b1": 0.8, "b2": 0.95}


@pytest.mark.parametrize(
    "settings",
    [{}, {"optimism": 0.3, "nesterov": False, **BETAS, "eps_root": 1e-6}],
    ids=["defaults", "plain"],
)
def test_paper(settings):
    agreement.assert_matches_paper(
        gl.optimistic_adam(0.01, **settings), "optimistic_adam", learning_rate=0.01, **settings
    )


@pytest.mark.parametrize(
    "settings",
    [{}, {"alpha": 0.7, "beta": 1.5, "nesterov": False, **BETAS, "weight_decay": 0.1}],
    ids=["defaults", "weighted"],
)
def test_paper_v2(settings):
    agreement.assert_matches_paper(
        gl.optimistic_adam_v2(0.01, **settings),
        "optimistic_adam_v2",
        learning_rate=0.01,
        **settings,
    )


def test_from_the_papers_algorithm_only_the_first_step_differs():
    gradients, x = agreement.gradient_sequence(), agreement.start()
    paper = transcription("optimistic_adam")
    rates = {"learning_rate": 0.01, "nesterov": False}
    ours = np.stack([u for u, _ in paper(gradients, x, **rates)])
    theirs = np.stack([u for u, _ in paper(gradients, x, **rates, from_zero=True)])
    np.testing.assert_array_equal(ours[1:], theirs[1:])
    np.testing.assert_allclose(2 * ours[0], theirs[0], rtol=1e-12)


@pytest.mark.parametrize("name", ["optimistic_adam", "optimistic_adam_v2"])
def test_reference(name):
    stored = curves(name)
    assert len(stored) == 2
    for curve in stored:
        agreement.assert_matches_reference(getattr(gl, name)(**curve.settings), curve)


def test_optax():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        agreement.assert_matches_optax(
            gl.optimistic_adam,
            optax.optimistic_adam,
            [{"learning_rate": 0.01, "optimism": 0.02}],
            eager=False,
        )


def test_optax_v2():
    agreement.assert_matches_optax(
        gl.optimistic_adam_v2,
        optax.optimistic_adam_v2,
        [
            {
                "learning_rate": optax.linear_schedule(0.1, 0.0, 50),
                "beta": 0.4,
                "nesterov": False,
            }
        ],
    )


def test_the_two_forms_are_one_method():
    agreement.assert_same_numbers(
        gl.optimistic_adam(0.02, 0.03), gl.optimistic_adam_v2(0.01, alpha=2.0, beta=3.0)
    )
    agreement.assert_same_numbers(gl.optimistic_adam(0.02), gl.optimistic_adam_v2(0.02))


def test_without_optimism_it_is_nadam():
    agreement.assert_same_numbers(gl.optimistic_adam_v2(0.01, beta=0.0), gl.nadam(0.01))
    agreement.assert_same_numbers(gl.optimistic_adam(0.01, 0.0), gl.nadam(0.01))


def test_the_first_form_takes_no_schedule():
    with pytest.raises(TypeError, match="optimistic_adam: learning_rate takes a number"):
        gl.optimistic_adam(gl.linear_schedule(0.1, 0.0, 10))


def test_a_schedule_counts_its_steps():
    opt = gl.optimistic_adam_v2(gl.linear_schedule(1.0, 0.0, 4), weight_decay=0.1)
    params = jnp.ones(2)
    _, state = opt.update(params, opt.init(params), params)
    assert gl.current(opt, state)["learning_rate"] == 0.75


def test_it_converges_on_the_bilinear_game_where_adam_does_not():
    optimistic = play.distances(gl.optimistic_adam(1e-2, 1.0), play.BILINEAR, 1000)
    plain = play.distances(gl.nadam(1e-2), play.BILINEAR, 1000)
    assert optimistic[-1] < 0.01
    assert plain[-1] > 0.5


def test_a_wrong_tensor_is_seen(monkeypatch):
    right = OptimisticAdamV2.update

    def wrong(self, updates, state, params=None, **extra):
        """The gradient is remembered, not the direction."""
        new, (adam, optimistic, *rest) = right(self, updates, state, params, **extra)
        return new, (adam, optimistic._replace(previous_gradient=updates), *rest)

    monkeypatch.setattr(OptimisticAdamV2, "update", wrong)
    with pytest.raises(AssertionError):
        agreement.assert_matches_paper(
            gl.optimistic_adam(0.01), "optimistic_adam", learning_rate=0.01
        )
