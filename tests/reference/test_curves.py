"""The stored reference curves say where they come from, and belong to the script beside them."""

import numpy as np
import pytest

from gradlab import catalog
from tests.reference.load import current_hash, curves
from tests.test_catalog import FIRST

CURVES = {curve.name: curve for curve in curves()}


def test_the_first_methods_have_curves_of_other_code():
    with_curve = {curve.method for curve in CURVES.values()}
    assert set(FIRST) <= with_curve <= {entry.name for entry in catalog.entries()}


@pytest.mark.parametrize("name", CURVES)
def test_a_curve_names_package_version_settings_problem_and_the_script_that_made_it(name):
    curve = CURVES[name]
    assert curve.package
    assert curve.version
    assert curve.problem
    assert isinstance(curve.settings, dict)
    assert curve.generator_sha256 == current_hash(curve.generator)
    assert len(curve.updates) == len(curve.gradients)
    assert np.all(np.isfinite(curve.updates))
    assert curve.agrees or curve.departures
