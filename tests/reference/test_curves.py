"""The stored reference data say where they come from, and belong to the script beside them."""

import shutil

import numpy as np
import pytest

from gradlab import catalog
from tests.reference import load
from tests.reference.load import current_hash, curves, values
from tests.test_catalog import FIRST

CURVES = {curve.name: curve for curve in curves()}
VALUES = {found.name: found for found in values()}
# Wrappers and transformations that others have written, too, so that both can be compared.
WRITTEN_BY_OTHERS = (
    "accumulate_gradients",
    "apply_if_finite",
    "asam",
    "average_iterates",
    "bsam",
    "cautious",
    "clip_largest_coordinates",
    "friendly_sam",
    "grokfast_ema",
    "grokfast_ma",
    "gsam",
    "kahan_summation",
    "keep_largest_gradients",
    "lookahead",
    "looksam",
    "msam",
    "orthogonal_to_params",
    "partition",
    "sam",
    "schedule_free",
    "schedule_free_adamw",
    "schedule_free_sgd",
    "swa",
    "wsam",
)


def test_methods_that_others_have_written_have_curves_of_that_code():
    with_curve = {curve.method for curve in CURVES.values()}
    assert {*FIRST, *WRITTEN_BY_OTHERS} <= with_curve <= {entry.name for entry in catalog.entries()}


def test_values_are_those_of_methods_that_are_there():
    assert {found.method for found in VALUES.values()} <= {e.name for e in catalog.entries()}


@pytest.mark.parametrize("name", [*CURVES, *VALUES])
def test_it_names_package_version_settings_problem_and_the_script_that_made_it(name):
    curve = (CURVES | VALUES)[name]
    assert curve.package
    assert curve.version
    assert curve.problem
    assert isinstance(curve.settings, dict)
    assert curve.generator_sha256 == current_hash(curve.generator)
    assert curve.agrees or curve.departures


@pytest.mark.parametrize("name", CURVES)
def test_a_curve_has_an_update_for_each_gradient(name):
    curve = CURVES[name]
    assert len(curve.updates) == len(curve.gradients)
    assert np.all(np.isfinite(curve.updates))


@pytest.mark.parametrize("name", VALUES)
def test_values_are_finite_arrays(name):
    arrays = VALUES[name].arrays.values()
    assert arrays
    assert all(np.all(np.isfinite(array)) for array in arrays)


def test_the_hash_of_a_curve_covers_what_its_generator_imports_and_nothing_else(
    tmp_path, monkeypatch
):
    shutil.copytree(load.HERE / "generators", tmp_path / "generators")
    monkeypatch.setattr(load, "HERE", tmp_path)
    names = ("sharpness_family", "sharpness")
    before = [current_hash.__wrapped__(name) for name in names]
    assert before == [current_hash(name) for name in names]
    with (tmp_path / "generators" / "checkouts.py").open("a") as borrowed:
        borrowed.write("# another line")
    after = [current_hash.__wrapped__(name) for name in names]
    assert after[0] != before[0]
    assert after[1] == before[1]
