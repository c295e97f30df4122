"""One colour for each optimizer, names that stay text, numbers that stay small."""

import json
import math

import numpy as np
import pytest

from gradlab.bench import theme
from tests.bench.synthetic import realistic


@pytest.fixture(scope="module")
def results():
    return realistic()


def test_every_optimizer_has_its_own_colour_and_the_baseline_is_dark_grey(results):
    colors = {label: theme.color(results, label) for label in results.optimizers}
    assert len(set(colors.values())) == len(colors)
    assert colors[results.baseline] == theme.LIGHT["base"]


def test_each_colour_of_the_page_has_one_of_its_own_in_the_dark():
    assert theme.LIGHT.keys() == theme.DARK.keys()
    assert len(set(theme.LIGHT.values())) == len(theme.LIGHT)


def test_numbers_are_single_precision_and_what_is_not_finite_is_left_out():
    data = theme.compact([1 / 3, math.inf, math.nan])
    assert data.dtype == np.float32
    assert np.isnan(data).tolist() == [False, True, True]


@pytest.mark.parametrize(
    ("low", "high", "step"), [(0.08, 2.4, "D2"), (1e-5, 10, 1), (1e-12, 1e3, 3)]
)
def test_a_logarithmic_axis_has_a_handful_of_round_labels(low, high, step):
    axis = theme.scale(low, high, True)
    assert axis["dtick"] == step
    assert axis["range"] == pytest.approx([math.log10(low), math.log10(high)])


def test_a_figure_as_json_can_stand_in_a_script_and_reads_back(results):
    chart = theme.figure("</script><b>&", 100)
    chart.add_trace(theme.series(results, "sam", "mean", x=[1], y=[2]))
    written = theme.to_json(chart)
    assert not set("<>&") & set(written)
    read = json.loads(written)
    assert read["layout"]["meta"]["label"] == "</script><b>&"
    assert read["data"][0]["uid"] == f"s{results.optimizers.index('sam')}-mean"


def test_a_name_is_shown_as_it_is(results):
    assert theme.series(results, "<b>&", "mean").name == "&lt;b&gt;&amp;"


@pytest.mark.parametrize(("count", "rows", "columns"), [(1, 1, 1), (4, 1, 4), (7, 2, 4)])
def test_panels_fill_the_page_row_by_row(count, rows, columns):
    chart = theme.panels("sweeps", count, 270, 200)
    assert (chart.layout.grid.rows, chart.layout.grid.columns) == (rows, columns)
    assert chart.layout.height == 200 * rows
    assert theme.axes(0) == {"xaxis": "x", "yaxis": "y"}
    assert theme.axes(count)["xaxis"] == f"x{count + 1}"
