"""Small vector charts: scales, axes and marks as SVG text that a style sheet colours.

Charts carry no colour of their own. A mark belongs to a class `o0`, `o1`, … and the page decides
what that looks like, in light and dark, so that one optimizer has one colour everywhere.
"""

from __future__ import annotations

import itertools
import math
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from html import escape

from gradlab.bench import formats


@dataclass(frozen=True)
class Scale:
    """A map from data to pixels, linear or logarithmic.

    Args:
        low: data at the start of the axis.
        high: data at its end.
        start: pixel of the start.
        stop: pixel of the end.
        log: whether distances are ratios.
    """

    low: float
    high: float
    start: float
    stop: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """The pixel of a value; a value outside is held two axis lengths away."""
        low, high = (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)
        if self.log:
            value = math.log(value) if value > 0 else -math.inf
        share = (value - low) / ((high - low) or 1.0)
        return self.start + min(max(share, -2.0), 3.0) * (self.stop - self.start)

    def ticks(self, most: int = 6) -> list[float]:
        """At most about `most` round values inside the axis."""
        return _log_ticks(self, most) if self.log else _linear_ticks(self.low, self.high, most)


def _linear_ticks(low: float, high: float, most: int) -> list[float]:
    span = high - low
    if not span > 0:
        return [low]
    raw = span / max(most, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [index * step for index in range(first, last + 1)]


def _log_ticks(scale: Scale, most: int) -> list[float]:
    first, last = math.floor(math.log10(scale.low)), math.ceil(math.log10(scale.high))
    for parts in ((1, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,)):
        ticks = [
            part * 10.0**power
            for power in range(first, last + 1)
            for part in parts
            if scale.low * 0.999 <= part * 10.0**power <= scale.high * 1.001
        ]
        if len(ticks) <= most:
            break
    stride = math.ceil(len(ticks) / most)
    if len(ticks) < 3 and scale.high < 10 * scale.low:
        return [t for t in _linear_ticks(scale.low, scale.high, most) if t > 0]
    return ticks[::stride]


@dataclass
class Chart:
    """One chart under construction.

    Args:
        width: of the drawing [px].
        height: of the drawing [px].
        label: what a screen reader says.
        margins: left, top, right, bottom [px].
    """

    width: int
    height: int
    label: str
    margins: tuple[int, int, int, int] = (56, 16, 16, 42)
    parts: list[str] = field(default_factory=list)

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom of the plotting area [px]."""
        left, top, right, bottom = self.margins
        return left, top, self.width - right, self.height - bottom

    def x_scale(self, low: float, high: float, log: bool = False) -> Scale:
        """A horizontal scale over the plotting area."""
        left, _, right, _ = self.box
        return Scale(low, high, left, right, log)

    def y_scale(self, low: float, high: float, log: bool = False) -> Scale:
        """A vertical scale over the plotting area, upwards."""
        _, top, _, bottom = self.box
        return Scale(low, high, bottom, top, log)

    def add(self, element: str) -> None:
        """Append an element as it is."""
        self.parts.append(element)

    def text(self, x: float, y: float, text: str, css: str = "", anchor: str = "start") -> None:
        """A line of text."""
        css_class = f' class="{css}"' if css else ""
        self.add(f'<text x="{_p(x)}" y="{_p(y)}"{css_class} text-anchor="{anchor}">'
                 f"{escape(text)}</text>")  # fmt: skip

    def x_axis(
        self,
        scale: Scale,
        title: str = "",
        tick: Callable[[float], str] = formats.tick,
        most: int = 7,
    ) -> None:
        """Grid lines, tick labels and a title along the bottom."""
        left, top, right, bottom = self.box
        for value in scale.ticks(most):
            x = scale(value)
            self.add(f'<path class="grid" d="M{_p(x)} {_p(top)}V{_p(bottom)}"/>')
            self.text(x, bottom + 15, tick(value), "tick", "middle")
        if title:
            self.text((left + right) / 2, self.height - 6, title, "axis", "middle")

    def y_axis(
        self,
        scale: Scale,
        title: str = "",
        tick: Callable[[float], str] = formats.tick,
        most: int = 6,
    ) -> None:
        """Grid lines, tick labels and a title above the left edge."""
        left, top, right, _ = self.box
        for value in scale.ticks(most):
            y = scale(value)
            self.add(f'<path class="grid" d="M{_p(left)} {_p(y)}H{_p(right)}"/>')
            self.text(left - 7, y + 3.5, tick(value), "tick", "end")
        if title:
            self.text(max(left - 44, 2), top - 8, title, "axis")

    def svg(self) -> str:
        """The finished element."""
        left, top, right, bottom = self.box
        body = "".join(self.parts)
        clip = f"c{zlib.crc32((self.label + body).encode())}"
        body = body.replace("url(#clip)", f"url(#{clip})")
        return (
            f'<svg class="chart" viewBox="0 0 {self.width} {self.height}" role="img" '
            f'aria-label="{escape(self.label)}"><clipPath id="{clip}"><rect x="{_p(left)}" '
            f'y="{_p(top)}" width="{_p(right - left)}" height="{_p(bottom - top)}"/></clipPath>'
            f"{body}</svg>"
        )


def path(points: Iterable[tuple[float, float]], css: str = "line") -> str:
    """A line through points in pixels; a point that is not finite interrupts it."""
    return f'<path class="{css}" d="{_commands(points)}"/>'


def steps(points: Sequence[tuple[float, float]], css: str = "line") -> str:
    """A line that runs flat to each next point and then jumps."""
    corners = list(points[:1])
    for (_, before), (x, y) in itertools.pairwise(points):
        corners += [(x, before), (x, y)]
    return path(corners, css)


def band(
    upper: Sequence[tuple[float, float]], lower: Sequence[tuple[float, float]], css: str = "band"
) -> str:
    """The area between two lines."""
    return f'<path class="{css}" d="{_commands([*upper, *reversed(lower)])}Z"/>'


def dot(x: float, y: float, radius: float, css: str, tip: str = "") -> str:
    """A filled circle with a tooltip."""
    return f'<circle class="{css}" cx="{_p(x)}" cy="{_p(y)}" r="{_p(radius)}">{_tip(tip)}</circle>'


def cross(x: float, y: float, radius: float, css: str, tip: str = "") -> str:
    """A diagonal cross with a tooltip, for what diverged."""
    r = radius
    d = (
        f"M{_p(x - r)} {_p(y - r)}L{_p(x + r)} {_p(y + r)}"
        f"M{_p(x - r)} {_p(y + r)}L{_p(x + r)} {_p(y - r)}"
    )
    return f'<path class="{css}" d="{d}">{_tip(tip)}</path>'


def bar(x: float, y: float, width: float, height: float, css: str, tip: str = "") -> str:
    """A rectangle with a tooltip."""
    return (
        f'<rect class="{css}" x="{_p(x)}" y="{_p(y)}" width="{_p(max(width, 0))}" '
        f'height="{_p(height)}">{_tip(tip)}</rect>'
    )


def label(x: float, y: float, text: str, anchor: str = "start") -> str:
    """The name of an optimizer beside its marks."""
    return (
        f'<text class="name" x="{_p(x)}" y="{_p(y)}" text-anchor="{anchor}">{escape(text)}</text>'
    )


def title(text: str) -> str:
    """A tooltip for the group that it is put into."""
    return _tip(text)


def group(css: str, *parts: str, clip: bool = False) -> str:
    """Elements that belong together, cut off at the plotting area where `clip` is set."""
    cut = ' clip-path="url(#clip)"' if clip else ""
    return f'<g class="{css}"{cut}>{"".join(parts)}</g>'


def spread(positions: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Move labels apart along a line, keeping their order.

    Args:
        positions: where each label would like to be.
        gap: smallest distance between two labels.
        low: smallest position allowed.
        high: largest position allowed, as far as there is room.

    Returns:
        The positions, in the order given.
    """
    order = sorted(range(len(positions)), key=lambda index: positions[index])
    placed = [positions[index] for index in order]
    for i in range(1, len(placed)):
        placed[i] = max(placed[i], placed[i - 1] + gap)
    if placed and placed[-1] > high:
        placed[-1] = high
        for i in range(len(placed) - 2, -1, -1):
            placed[i] = min(placed[i], placed[i + 1] - gap)
    if placed and placed[0] < low:
        placed[0] = low
        for i in range(1, len(placed)):
            placed[i] = max(placed[i], placed[i - 1] + gap)
    result = [0.0] * len(placed)
    for index, position in zip(order, placed, strict=True):
        result[index] = position
    return result


def _commands(points: Iterable[tuple[float, float]]) -> str:
    commands, pen = [], "M"
    for x, y in points:
        if math.isfinite(x) and math.isfinite(y):
            commands.append(f"{pen}{_p(x)} {_p(y)}")
            pen = "L"
        else:
            pen = "M"
    return "".join(commands)


def _tip(text: str) -> str:
    return f"<title>{escape(text)}</title>" if text else ""


def _p(value: float) -> str:
    """A pixel to a tenth, without needless zeros."""
    return f"{value:.1f}".removesuffix(".0")
