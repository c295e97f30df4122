"""Numbers in a report are short, carry a fitting unit, and show misses."""

import math

import pytest

from gradlab.bench import formats
from gradlab.bench.intervals import Interval


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (1.0, "1.00"),
        (0.012345, "0.0123"),
        (12345.6, "12\u202f300"),
        (9.999, "10.0"),
        (0.09999, "0.100"),
        (-2.5, "−2.50"),
        (3.24e-7, "3.24×10⁻⁷"),
        (5e9, "5×10⁹"),
        (math.inf, "∞"),
        (-math.inf, "−∞"),
        (math.nan, "–"),
        (None, "–"),
    ],
)
def test_a_number_has_three_digits_and_special_values_have_signs(value, text):
    assert formats.number(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(1e-3, "10⁻³"), (3.16e-4, "3.2×10⁻⁴"), (0.03, "0.03"), (0.3162, "0.32"), (10.0, "10")],
)
def test_a_learning_rate_is_a_power_of_ten_below_one_hundredth(value, text):
    assert formats.rate(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(12.3e-6, "12.3 µs"), (4.56e-3, "4.56 ms"), (0.9999, "1.00 s"), (59.0, "59.0 s"),
     (125.0, "2 min 05 s"), (math.inf, "∞"), (math.nan, "–")],
)  # fmt: skip
def test_a_duration_takes_the_unit_that_fits(value, text):
    assert formats.seconds(value).replace("\u202f", " ") == text


@pytest.mark.parametrize(
    ("value", "text"), [(512, "512 B"), (1536, "1.50 KiB"), (5 * 2**30, "5.00 GiB"), (None, "–")]
)
def test_a_size_takes_the_unit_that_fits(value, text):
    assert formats.size(value).replace("\u202f", " ") == text


@pytest.mark.parametrize(
    ("interval", "text"),
    [
        (Interval(0.12345, 0.11111, 0.13579, 3), "0.123 ± 0.012"),
        (Interval(1.5, 1.5 - 2e-6, 1.5 + 2e-6, 3), "1.5000 ± 2×10⁻⁶"),
        (Interval(2.0, -math.inf, math.inf, 1), "2.000"),
        (Interval(math.inf, -math.inf, math.inf, 3), "∞"),
        (None, "–"),
    ],
)
def test_a_mean_has_as_many_digits_as_its_interval_supports(interval, text):
    assert formats.with_interval(interval) == text


def test_a_speed_up_over_a_missed_target_is_a_bound():
    assert formats.factor(Interval(math.inf, 3.1, math.inf, 3)) == "> ×3.1"
    assert formats.factor(Interval(0.0, 0.0, 0.25, 3)) == "< ×0.25"
    assert formats.factor(Interval(1.62, 1.31, 2.0, 3)) == "×1.62"
    assert formats.ends(Interval(1.62, 1.31, 2.0, 3)) == "[1.31, 2.00]"
