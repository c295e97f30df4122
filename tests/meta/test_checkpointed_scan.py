"""Which segments are chosen, and what is counted as stored."""

import jax
import jax.numpy as jnp
import pytest

from gradlab.meta import _checkpointed_scan as checkpointed
from gradlab.meta._checkpointed_scan import Plan


@pytest.mark.parametrize(
    ("steps", "length"),
    [(1, 1), (2, 1), (100, 10), (1000, 25), (9, 3), (997, 32), (26, 2), (23, 5)],
)
def test_segments_have_about_the_root_of_the_steps(steps, length):
    assert checkpointed.segment_length(steps) == length


@pytest.mark.parametrize("steps", range(1, 200))
def test_segments_store_at_most_a_quarter_more_than_the_root_does(steps):
    length = checkpointed.segment_length(steps)
    assert length + steps / length <= 2.5 * (steps**0.5 + 1)


def test_the_least_is_computed_again_that_the_bytes_allow():
    carry, residuals, steps = 10, 100, 100

    def plan(budget):
        return checkpointed.within(budget, carry, residuals, steps, "unroll")

    assert plan(10_000) == Plan(100, False)
    assert plan(9_999) == Plan(4, False) == plan(650)  # 25 carries and 4 steps
    assert plan(649) == Plan(3, False) == plan(640)  # 34 carries and 3 steps, one of them alone
    assert plan(639) == Plan(10, True) == plan(300)  # 10 carries twice and one step
    with pytest.raises(ValueError, match="at least 300 bytes are needed, in segments of 10 steps"):
        plan(299)
    assert checkpointed.within(11_000, 100, 10_000, 10, "unroll") == Plan(10, True)  # no segments


def test_only_what_changes_from_step_to_step_is_counted():
    data = jnp.ones((50, 4))

    def step(rate, carry, x):
        def objective(w):
            return jnp.sum(jnp.sin(data @ w) * x)

        return carry - rate * jax.grad(objective)(carry), jnp.sum(x)

    carry, xs = jnp.ones(4), jnp.ones((7, 50))
    stored, residuals = checkpointed.stored_bytes(step, jnp.float32(0.1), carry, xs)
    assert stored == 16
    # Neither the data, 800 bytes, nor the step's part of xs, 200.
    assert 200 <= residuals <= 4 * 200 + 2 * 16
