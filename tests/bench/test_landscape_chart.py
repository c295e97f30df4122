"""Paths lie over the level lines of their landscape, inside its domain."""

import dataclasses
import math

import numpy as np
import pytest

from gradlab import problems
from gradlab.bench.landscape_chart import landscape_chart, landscape_title
from gradlab.bench.results import Trajectory
from tests.bench.synthetic import realistic


@pytest.fixture(scope="module")
def results():
    return realistic()


def test_every_path_is_drawn_whole_and_ends_with_a_dot(results):
    chart = landscape_chart(results, "beale")
    traces = {trace.uid: trace for trace in chart.data if trace.uid}
    for path in (p for p in results.trajectories if p.landscape == "beale"):
        place = results.optimizers.index(path.optimizer)
        line, end = traces[f"s{place}-path"], traces[f"s{place}-end"]
        np.testing.assert_allclose(np.stack([line.x, line.y], -1), path.points, rtol=1e-6)
        np.testing.assert_allclose([end.x[0], end.y[0]], path.points[-1], rtol=1e-6)
        assert "rate 0.01: 0.0100 at the end" in line.hovertemplate


def test_level_lines_are_lowest_at_the_minimum_and_cover_the_domain(results):
    chart = landscape_chart(results, "beale")
    (levels,) = (trace for trace in chart.data if trace.type == "contour")
    known = problems.landscape("beale")
    assert (levels.x[0], levels.x[-1]) == pytest.approx(known.domain[0])
    assert (levels.y[0], levels.y[-1]) == pytest.approx(known.domain[1])
    assert np.all(np.isfinite(levels.z))
    row, column = np.unravel_index(np.argmin(levels.z), levels.z.shape)
    assert (levels.x[column], levels.y[row]) == pytest.approx(known.minimisers[0], abs=0.2)


def test_the_start_and_all_minima_are_marked(results):
    chart = landscape_chart(results, "rosenbrock")
    marks = {trace.name: trace for trace in chart.data}
    assert (marks["start"].x[0], marks["start"].y[0]) == (-1.5, 2.0)
    minima = np.stack([marks["minimum"].x, marks["minimum"].y], -1)
    np.testing.assert_allclose(minima, problems.landscape("rosenbrock").minimisers)


def test_an_unknown_landscape_has_paths_without_levels_and_a_path_may_blow_up(results):
    points = np.array([[0.0, 0.0], [1.0, 2.0], [math.inf, math.nan]])
    path = Trajectory("mine", "sgd", 0.1, points, np.array([1.0, 2.0, math.nan]))
    chart = landscape_chart(dataclasses.replace(results, trajectories=(path,)), "mine")
    assert chart is not None
    assert [trace.type for trace in chart.data] == ["scatter"] * 3
    assert list(chart.data[0].x) == [0.0, 1.0]
    assert landscape_title("mine") == "mine"


def test_no_path_is_no_chart(results):
    assert landscape_chart(results, "himmelblau") is None
