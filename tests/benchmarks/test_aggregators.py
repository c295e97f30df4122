"""Steps with several objectives are the same step in both libraries, and their table says so."""

import json

import jax
import numpy as np
import pytest

from benchmarks import aggregators, jacobians, table
from benchmarks.jacobians import BY_NAME, PAIRS, Network

SMALL = Network(tasks=3, width=6, batch=5, inputs=4)


def needs_torchjd():
    if not jacobians.has_torchjd():
        pytest.skip("torchjd is not installed")


def after_steps(pair, per_example, count=2):
    """Parameters after some steps, ours and torchjd's."""
    ours, _, carry = jacobians.gradlab_step(SMALL, pair, per_example)
    theirs, params = jacobians.torchjd_step(SMALL, pair, per_example)
    for _ in range(count):
        ours()
        theirs()
    weights = [x.detach().numpy().T for x in params]
    return jax.tree.leaves(carry[0]), weights


@pytest.mark.parametrize("method", [pair.method for pair in PAIRS if not pair.same])
def test_both_libraries_make_the_same_step(method):
    needs_torchjd()
    for x, y in zip(*after_steps(BY_NAME[method], per_example=False), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-3, atol=2e-5)


def test_both_libraries_make_the_same_step_without_a_jacobian():
    needs_torchjd()
    for x, y in zip(*after_steps(jacobians.UPGRAD, per_example=True), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-3, atol=2e-5)


def test_parameters_are_counted():
    layers, *_ = SMALL.arrays()
    assert SMALL.parameters == sum(x.size for x in jax.tree.leaves(layers))


def test_the_losses_of_tasks_and_of_examples_are_of_one_network():
    layers, x, y = SMALL.arrays()
    tasks = jacobians.losses_of_tasks(layers, x, y)
    examples = jax.vmap(lambda *one: jacobians.loss_of_example(layers, one))(x, y)
    assert (tasks.shape, examples.shape) == ((3,), (5,))
    np.testing.assert_allclose(tasks.mean(), examples.mean(), rtol=1e-5)


def test_the_step_of_tasks_follows_the_mean_of_their_losses():
    once, _, carry = jacobians.gradlab_step(SMALL, BY_NAME["mean_gradient"], per_example=False)
    once()
    layers, x, y = SMALL.arrays()
    gradient = jax.grad(lambda p: jacobians.losses_of_tasks(p, x, y).mean())(layers)
    expected = jax.tree.map(lambda p, g: p - jacobians.RATE * g, layers, gradient)
    for found, wanted in zip(jax.tree.leaves(carry[0]), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


def test_a_row_has_its_ratio_and_a_missed_target_its_reason():
    took = {
        "gradlab jacobian": np.full(3, 1.0),
        "torchjd jacobian": np.full(3, 2.0),
        "gradlab upgrad": np.full(3, 4.0),
        "torchjd upgrad": np.full(3, 8.0),
        "torchjd upgrad, apart": np.full(3, 5.0),
    }
    row = aggregators._timed(jacobians.UPGRAD, took, targeted=True)
    assert row["ratio"]["median"] == 0.8  # against the faster of their ways
    assert (row["share"], row["torchjd_share"], row["met"]) == (0.25, 0.4, False)
    assert "25% is the Jacobian" in row["why"]
    assert jacobians.UPGRAD.why in row["why"]
    assert "met" not in aggregators._timed(jacobians.UPGRAD, took, targeted=False)
    took["gradlab upgrad"] = np.full(3, 2.5)
    row = aggregators._timed(jacobians.UPGRAD, took, targeted=True)
    assert row["met"]
    assert "why" not in row


def test_what_is_stored_of_a_jacobian_shows_in_four_sizes():
    def memory(parameters, objectives, kept):
        own = 12 * objectives**3 + 64 * parameters
        return {
            "parameters": parameters,
            "objectives": objectives,
            "temporary_bytes": own + 4 * kept * parameters * objectives,
        }

    for kept in (0, 0.5, 1):
        rows = [memory(p, m, kept) for p in (100, 1000) for m in (16, 32)]
        assert aggregators.interaction(rows) == pytest.approx(kept)


def test_gramians_need_no_memory_for_a_jacobian():
    sizes = [Network(10, width, batch, inputs=16) for width in (64, 128) for batch in (64, 96)]
    rows = [aggregators._memory_row(network) for network in sizes]
    assert aggregators.interaction(rows) <= aggregators.GROWTH


def test_the_peak_of_a_step_is_measured_where_the_system_counts():
    network = Network(tasks=16, width=512, batch=8)
    found = jacobians.peak_growth("gradlab", network, BY_NAME["mean_gradient"], False)
    if found is None:
        pytest.skip("the system does not count")
    assert found > 0.5 * 4 * network.tasks * network.parameters


def test_the_table_has_a_row_for_every_aggregator(monkeypatch):
    monkeypatch.setattr(jacobians, "peak_growth", lambda *args: None)
    monkeypatch.setattr(aggregators, "PAIRS", PAIRS[:2])
    made = aggregators.aggregators(None, True, lambda line: None)
    assert [isinstance(each, table.Table) for each in made] == [True, True]
    json.dumps([each.data() for each in made])
    stacks, gramians = made
    assert [(row["method"], row["objectives"]) for row in stacks.rows] == [
        (pair.method, count) for count in (2, 8) for pair in PAIRS[:2]
    ]
    assert [row["objectives"] for row in gramians.rows] == [40, 64, 40, 64]
    assert all(row["jacobian_bytes"] > 0 for row in (*stacks.rows, *gramians.rows))
    assert gramians.rows[-1]["met"]
    assert "gradients kept" in gramians.markdown()
