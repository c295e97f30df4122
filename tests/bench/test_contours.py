"""Level lines lie where the function has the level's value, and closed ones close."""

import math

import numpy as np
import pytest

from gradlab.bench.contours import contour, contour_levels

AXIS = np.linspace(-2, 2, 81)
X, Y = np.meshgrid(AXIS, AXIS)


def test_the_level_line_of_a_bowl_is_one_closed_circle():
    (line,) = contour(X**2 + Y**2, AXIS, AXIS, 1.2345)
    assert line[0] == line[-1]
    radii = [math.hypot(x, y) for x, y in line]
    assert min(radii) == pytest.approx(math.sqrt(1.2345), abs=1e-3)
    assert max(radii) == pytest.approx(math.sqrt(1.2345), abs=1e-3)
    assert len(set(line)) == len(line) - 1


def test_the_level_line_of_a_plane_is_one_open_straight_line():
    (line,) = contour(X + 2 * Y, AXIS, AXIS, 0.3)
    assert all(x + 2 * y == pytest.approx(0.3) for x, y in line)
    assert line[0] != line[-1]


def test_two_valleys_have_two_lines_and_a_saddle_is_no_trouble():
    assert len(contour((X**2 - 1) ** 2 + Y**2, AXIS, AXIS, 0.2)) == 2
    for level in (-0.01, 0.0, 0.01):
        for line in contour(X * Y, AXIS, AXIS, level):
            assert all(x * y == pytest.approx(level, abs=1e-2) for x, y in line)


def test_a_level_outside_the_range_has_no_line():
    assert contour(X**2, AXIS, AXIS, 9.0) == []


def test_levels_ascend_inside_the_range_and_skip_what_is_not_finite():
    values = np.where(X > 1, np.inf, X**4)
    levels = contour_levels(values, 8)
    assert levels == sorted(levels)
    assert 0 <= levels[0] < levels[-1] < 16
