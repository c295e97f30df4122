"""Numbers as a reader wants them: few digits, a unit that fits, misses as infinity."""

from __future__ import annotations

import math

from gradlab.bench.intervals import Interval

MISS = "∞"
UNKNOWN = "–"
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_THIN = "\u202f"


def number(value: float | None, digits: int = 3) -> str:
    """A number with a given count of significant digits.

    Args:
        value: any number; None and NaN are unknown.
        digits: significant digits.

    Returns:
        Text such as `0.0123`, `12 300`, `3.2×10⁻⁷`, `∞` or `–`.
    """
    if value is None or math.isnan(value):
        return UNKNOWN
    if math.isinf(value):
        return MISS if value > 0 else "−" + MISS
    if value == 0:
        return "0"
    exponent = math.floor(math.log10(abs(float(f"{value:.{digits - 1}e}"))))
    if exponent < -4 or exponent > 6:
        return scientific(value, digits)
    if exponent >= digits - 1:
        return count(round(value, digits - 1 - exponent))
    return _minus(f"{value:.{digits - 1 - exponent}f}")


def scientific(value: float, digits: int = 2) -> str:
    """A number as mantissa and power of ten, such as `3.2×10⁻⁴` or `10⁻³`."""
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
    power = f"10{str(int(exponent)).translate(_SUPERSCRIPTS)}"
    return power if mantissa == "1" else f"{_minus(mantissa)}×{power}"


def rate(value: float | None) -> str:
    """A learning rate: two digits, a power of ten below one hundredth."""
    if value is None or math.isnan(value) or value == 0:
        return number(value)
    if 0.01 <= abs(value) < 1000:
        return _minus(f"{value:.2g}")
    return scientific(value, 2)


def count(value: float | None) -> str:
    """A whole number with thin spaces between thousands."""
    if value is None or not math.isfinite(value):
        return number(value)
    return _minus(f"{round(value):,}".replace(",", _THIN))


def seconds(value: float | None) -> str:
    """A duration in the unit that fits: `12.3 µs`, `4.56 ms`, `1.23 s`, `2 min 05 s`."""
    if value is None or not math.isfinite(value) or value == 0:
        return number(value)
    for limit, factor, unit in ((1e-3, 1e6, "µs"), (1, 1e3, "ms"), (120, 1, "s")):
        if value < limit * 0.9995:
            return f"{number(value * factor)}{_THIN}{unit}"
    minutes, rest = divmod(round(value), 60)
    return f"{count(minutes)}{_THIN}min {rest:02d}{_THIN}s"


def size(value: float | None) -> str:
    """A size in bytes in the unit that fits: `512 B`, `1.5 MiB`."""
    if value is None or not math.isfinite(value):
        return number(value)
    units = ("B", "KiB", "MiB", "GiB", "TiB")
    power = 0 if value < 1 else min(int(math.log2(value) // 10), len(units) - 1)
    return f"{number(value / 1024**power)}{_THIN}{units[power]}"


def with_interval(interval: Interval | None) -> str:
    """A mean with the half-width of its interval, such as `0.1234 ± 0.0012`."""
    if interval is None:
        return UNKNOWN
    if not math.isfinite(interval.center) or not interval.finite:
        return number(interval.center, 4)
    half = (interval.high - interval.low) / 2
    resolved = half > 1e-5 * abs(interval.center)
    places = 1 - math.floor(math.log10(half)) if resolved else 4
    if not 0 <= places <= 7:
        return f"{number(interval.center, 4)} ± {number(half, 2)}"
    margin = f"{half:.{places}f}" if resolved else number(half, 1)
    return f"{_minus(f'{interval.center:.{places}f}')} ± {margin}"


def factor(interval: Interval | None) -> str:
    """A speed-up such as `×1.62`, or its bound `> ×3.1` where one side missed the target."""
    if interval is None or math.isnan(interval.center):
        return UNKNOWN
    if interval.center == math.inf:
        return f"> ×{number(interval.low, 2)}"
    if interval.center == 0:
        return f"< ×{number(interval.high, 2)}"
    return f"×{number(interval.center)}"


def difference(interval: Interval | None) -> str:
    """A signed difference with the ends of its interval, such as `−0.012 [−0.020, −0.004]`."""
    if interval is None or not math.isfinite(interval.center):
        return ""
    return f"{number(interval.center, 2)} [{number(interval.low, 2)}, {number(interval.high, 2)}]"


def ends(interval: Interval | None) -> str:
    """The two ends of an interval, such as `[1.31, 2.00]`; empty where the middle is unknown."""
    if interval is None or not math.isfinite(interval.center) or interval.center == 0:
        return ""
    return f"[{number(interval.low, 3)}, {number(interval.high, 3)}]"


def _minus(text: str) -> str:
    return text.replace("-", "−")
