"""The table of hypergradients has every method, says what was measured, and finds what is wrong."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab as gl
from gradlab import catalog, core, testing
from gradlab.testing import derivative_table as table
from gradlab.testing._derivatives import Probe

ENTRIES = {entry.name: entry for entry in catalog.entries()}
AGAIN = "run `python -m gradlab.testing.derivative_table`, then `python -m gradlab._generate`"


def test_every_kind_of_function_is_measured():
    assert set(table.MEASURES) == set(testing.PROMISES_OF)


def test_every_method_has_a_row_of_its_hyperparameters():
    assert list(table.rows()) == sorted(ENTRIES), AGAIN
    old = [name for name, entry in ENTRIES.items() if not table.is_current(entry, table.rows())]
    assert not old, AGAIN


@pytest.mark.parametrize("name", ENTRIES)
def test_a_stored_row_keeps_what_the_contract_promises(name):
    row, entry = table.rows()[name], ENTRIES[name]
    assert row["not_finite"] == ""
    assert row["errors"]
    biased = entry.traits.biased or (entry.kind == "hypergradient" and entry.traits.stochastic)
    for error in table.worst(row).values():
        assert math.isfinite(error)
        assert error < 1e-3 or biased


# An orders of magnitude that is seen, one at the level of rounding, one of a penalty.
@pytest.mark.parametrize("name", ["sgd", "clip", "norm_loss"])
def test_measured_again_errors_are_of_the_same_order(name):
    stored, measured = table.rows()[name], table.measure(ENTRIES[name])
    assert measured.keys() == stored.keys()
    for mode, errors in measured["errors"].items():
        assert errors.keys() == stored["errors"][mode].keys()
        for variable, error in errors.items():
            before = stored["errors"][mode][variable]
            low, high = sorted(max(x, 1e-8) for x in (before, error))
            assert high <= 10 * low, f"{variable}: {before} became {error}"


def probe(**changed):
    """A method with one hyperparameter whose derivative is 3, of a loss of 2."""
    found = {
        "names": ("rate",),
        "base": np.array([0.1]),
        "steps": np.array([1e-5]),  # of a room of 0.1
        "loss": 2.0,
        "looped": np.zeros((4, 1)),
        "mapped": np.zeros((4, 1)),
        "losses": np.array([2.0, 2.0 + 3e-5, 2.0 - 3e-5, 5.0]),
        "traces": 1,
        "reverse": np.array([3.0]),
        "forward": np.array([3.0]),
        "params_reverse": 1.0,
        "params_forward": 1.0,
        "params_difference": 1.0,
    }
    return Probe(**{**found, **changed})


def test_an_error_is_relative_to_the_difference():
    found = table.errors_of(probe(), np.array([3.03]), 1.5)
    assert found == {"rate": 0.01, "initial parameters": 0.5}


def test_where_the_difference_is_tiny_an_error_is_relative_to_the_loss():
    losses = np.array([2.0, 2.0, 2.0, 5.0])
    found = table.errors_of(probe(losses=losses), np.array([1e-4]), 1.0)
    assert found["rate"] == 0.005  # 1e-4 · 0.1 of a thousandth of 2


def test_orders_of_magnitude_are_rounded_up():
    assert [table.shown(x) for x in (0.0, 9e-10, 1e-9, 2e-9, 1e-6, 0.3, math.nan)] == [
        "<1e-9", "<1e-9", "1e-9", "1e-8", "1e-6", "1e0", "not finite",
    ]  # fmt: skip
    row = {"errors": {"reverse": {"a": 1e-8, "b": 1e-3}, "forward": {"a": 1e-5, "b": 0.0}}}
    assert table.by_variable(row) == "a 1e-5, b 1e-3"
    assert table.summary(row, "reverse") == "1e-3, 1e-3"


def test_what_is_not_a_number_is_not_hidden_by_another_mode():
    row = {"errors": {"reverse": {"a": 1e-8, "b": 1.0}, "forward": {"a": math.nan, "b": 0.0}}}
    assert table.by_variable(row) == "a not finite, b 1e0"
    assert table.summary(row, "forward") == "not finite, not finite"


def test_only_what_is_missing_old_or_named_is_measured(tmp_path, monkeypatch):
    measured = []

    def measure(entry):
        measured.append(entry.name)
        if entry.name == "stops":
            raise KeyboardInterrupt
        return {"errors": {"reverse": {"x": 1e-8}}, "not_finite": ""}

    monkeypatch.setattr(table, "MEASURES", {"transformation": measure})
    path = tmp_path / "rows.jsonl"
    one, two = (catalog.Entry(f, "", ("M1",), {"learning_rate": 0.1}) for f in (gl.sgd, gl.adam))
    assert table.bring_up_to_date([one], path=path) == ["sgd"]
    assert table.bring_up_to_date([two, one], path=path) == ["adam"]
    assert list(table.rows(path)) == ["adam", "sgd"]
    assert table.bring_up_to_date([one], ["sgd"], path) == ["sgd"]
    assert list(table.rows(path)) == ["sgd"]
    scheduled = dataclasses.replace(one, example={"learning_rate": 0.1, "momentum": 0.9})
    assert table.bring_up_to_date([scheduled], path=path) == ["sgd"]
    assert table.rows(path)["sgd"]["hyperparameters"] == ["learning_rate", "momentum"]


def test_a_run_that_was_stopped_keeps_its_rows(tmp_path, monkeypatch):
    def measure(entry):
        if entry.name == "sgd":
            raise KeyboardInterrupt
        return {"errors": {"reverse": {"x": 1e-8}}, "not_finite": ""}

    monkeypatch.setattr(table, "MEASURES", {"transformation": measure})
    path = tmp_path / "rows.jsonl"
    entries = [catalog.Entry(f, "", ("M1",), {"learning_rate": 0.1}) for f in (gl.adam, gl.sgd)]
    with pytest.raises(KeyboardInterrupt):
        table.bring_up_to_date(entries, path=path)
    assert list(table.rows(path)) == ["adam"]


class Detached(core.Rule):
    """Gradient descent without a derivative by its rate; rooted, none where gradients are zero."""

    learning_rate: core.Scalar = core.hyper("[0, inf)")
    rooted: bool = core.static()

    def init(self, params):
        return ()

    def update(self, updates, state, params=None):
        rate = jax.lax.stop_gradient(self.learning_rate)
        root = (lambda g: jnp.sqrt(g * g)) if self.rooted else jnp.asarray
        return jax.tree.map(lambda g: -rate * root(g), updates), state


@core.builds(Detached)
def detached(learning_rate, *, rooted=False):
    """Without a derivative."""


def test_a_wrong_derivative_and_one_that_is_not_finite_show():
    entry = catalog.Entry(detached, "", ("M1",), {"learning_rate": 0.01}, room="optimizers")
    row = table.measure(entry)
    assert row["errors"]["reverse"]["learning_rate"] == 1.0
    assert row["errors"]["forward"]["learning_rate"] == 1.0
    assert row["not_finite"] == ""
    rooted = {"learning_rate": 0.01, "rooted": True}
    row = table.measure(dataclasses.replace(entry, example=rooted))
    assert math.isnan(row["errors"]["reverse"]["initial parameters"])
    assert "initial parameters is not finite" in row["not_finite"]


def estimate(scale):
    def of(method, problem, x, key):
        found = problem.hypergradient(x)
        size = jnp.linalg.norm(jnp.stack([found["gain"], *found["shift"]]))
        return jax.tree.map(lambda g: g * (1 + scale) * size / size, found)

    return of


def test_an_estimate_is_compared_with_the_outer_objective():
    entry = catalog.Entry(lambda: None, "", ("M1",), {}, room="meta", estimate=estimate(0.0))
    errors = table.measure(entry)["errors"]["estimate"]
    assert max(errors.values()) < 1e-8
    assert set(errors) == {"gain[0]", "shift[0]", "shift[1]"}
    row = table.measure(dataclasses.replace(entry, estimate=estimate(0.5)))
    assert max(row["errors"]["estimate"].values()) == 0.5
    assert row["not_finite"] == table.ZERO  # it divides by the size of the gradient


def test_bilevel_methods_are_differentiated_by_their_hyperparameters():
    row = table.measure(ENTRIES["penalty_bilevel"])
    assert set(table.worst(row)) == set(row["hyperparameters"])
    assert max(table.worst(row).values()) < 1e-5
    assert row["not_finite"] == ""


def test_solvers_are_differentiated_by_what_the_solution_depends_on():
    row = table.measure(ENTRIES["fixed_point_iteration"])
    assert set(row["errors"]) == {"reverse", "forward"}
    assert set(table.worst(row)) == {"gain[0]", "shift[0]", "shift[1]"}
    assert max(table.worst(row).values()) < 1e-6
    assert row["not_finite"] == ""
