"""Grokfast-EMA: its paper, what it contains, and how its average starts."""

import jax.numpy as jnp
import numpy as np
import pytest

import gradlab as gl
from gradlab.transforms import _grokfast_ema
from tests import agreement
from tests.reference.load import curves


def test_paper():
    agreement.assert_matches_paper(gl.grokfast_ema(0.9, 0.5), "grokfast_ema", decay=0.9, gain=0.5)


@pytest.mark.parametrize("curve", curves("grokfast_ema"), ids=lambda c: c.name)
def test_the_authors_and_another_package(curve):
    agreement.assert_matches_reference(gl.grokfast_ema(**curve.settings), curve)


def test_without_gain_it_is_the_identity():
    agreement.assert_same_numbers(gl.grokfast_ema(0.9, 0.0), gl.identity())


def test_without_memory_it_is_a_scaling():
    agreement.assert_same_numbers(gl.grokfast_ema(0.0, 2.0), gl.scale(3.0))


def test_the_first_gradient_counts_in_full():
    opt, g = gl.grokfast_ema(0.98, 2.0), jnp.array([1.0, -2.0])
    np.testing.assert_allclose(opt.update(g, opt.init(g))[0], 3 * g, rtol=1e-6)


def test_an_average_that_starts_at_zero_is_seen(monkeypatch):
    def from_zero(old, new, decay):
        return (1 - decay) * new + decay * jnp.where(old == new, 0, old)

    monkeypatch.setattr(_grokfast_ema.core, "average", from_zero)
    with pytest.raises(AssertionError):
        test_paper()
