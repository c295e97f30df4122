"""Charts put data where their axes say, and never let a name become markup."""

import math
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from gradlab.bench import svg


def test_a_scale_maps_its_ends_and_its_middle():
    linear, log = svg.Scale(0, 10, 100, 200), svg.Scale(0.01, 100, 0, 100, True)
    assert (linear(0), linear(5), linear(10)) == (100, 150, 200)
    assert log(1.0) == pytest.approx(50)
    assert math.isfinite(log(0.0))


@pytest.mark.parametrize(
    ("low", "high", "log"),
    [
        (0, 300, False),
        (-0.013, 0.027, False),
        (1e-5, 10, True),
        (0.1, 2.4, True),
        (2.1, 2.3, True),
        (0.07, 4.1, True),
    ],
)
def test_ticks_are_few_inside_and_ascending(low, high, log):
    ticks = svg.Scale(low, high, 0, 100, log).ticks(7)
    assert 2 <= len(ticks) <= 8
    assert ticks == sorted(ticks)
    assert low * 0.999 - 1e-12 <= ticks[0]
    assert ticks[-1] <= high * 1.001 + 1e-12


def test_ticks_over_more_than_a_decade_are_powers_of_ten_where_there_is_little_room():
    assert svg.Scale(0.07, 4.1, 0, 100, True).ticks(3) == pytest.approx([0.1, 1])


def test_labels_are_moved_apart_in_their_order_and_stay_inside():
    random = np.random.default_rng(0)
    for _ in range(200):
        wanted = random.uniform(0, 100, 6).tolist()
        placed = svg.spread(wanted, 12, 0, 100)
        assert np.argsort(placed).tolist() == np.argsort(wanted).tolist()
        assert min(np.diff(sorted(placed))) >= 12 - 1e-9
        assert min(placed) >= -1e-9
        assert max(placed) <= 100 + 1e-9


def test_a_gap_in_the_data_interrupts_the_line():
    assert svg.path([(0, 0), (1, 1), (2, math.nan), (3, 3)]).count("M") == 2


def test_names_are_escaped_everywhere():
    bad = '<script>"&'
    chart = svg.Chart(100, 100, bad)
    chart.text(1, 2, bad)
    chart.add(svg.label(1, 2, bad))
    chart.add(svg.group("series", svg.dot(1, 2, 3, "dot", bad), svg.title(bad), clip=True))
    root = ElementTree.fromstring(chart.svg())
    texts = [element.text for element in root.iter() if element.text]
    assert texts == [bad] * 4
