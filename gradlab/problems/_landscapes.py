"""Functions of two variables with known minima, for trajectories that can be drawn."""

import dataclasses
from collections.abc import Callable

import jax

from gradlab.core import unknown

Point = tuple[float, float]


@dataclasses.dataclass(frozen=True)
class Landscape:
    """A function of two variables whose minima are known.

    Args:
        name: the name in the registry.
        title: the name to print.
        function: array of shape (2,) -> scalar.
        minimisers: every global minimiser.
        minimum: the value there.
        domain: ((low, high) of x, (low, high) of y), the part to draw.
        start: where trajectories begin.
    """

    name: str
    title: str
    function: Callable[[jax.Array], jax.Array]
    minimisers: tuple[Point, ...]
    minimum: float
    domain: tuple[Point, Point]
    start: Point


def rosenbrock() -> Landscape:
    """Rosenbrock's curved valley, (1 - x)^2 + 100 (y - x^2)^2.

    Returns:
        The landscape with its minimum 0 at (1, 1).
    """

    def function(p):
        return (1.0 - p[0]) ** 2 + 100.0 * (p[1] - p[0] ** 2) ** 2

    domain = ((-2.0, 2.0), (-1.0, 3.0))
    return Landscape("rosenbrock", "Rosenbrock", function, ((1.0, 1.0),), 0.0, domain, (-1.5, 2.0))


def beale() -> Landscape:
    """Beale's function, flat around a narrow minimum with steep walls at the corners.

    Returns:
        The landscape with its minimum 0 at (3, 0.5).
    """

    def function(p):
        x, y = p[0], p[1]
        first = (1.5 - x + x * y) ** 2
        second = (2.25 - x + x * y**2) ** 2
        third = (2.625 - x + x * y**3) ** 2
        return first + second + third

    domain = ((-1.0, 4.5), (-1.5, 1.5))
    return Landscape("beale", "Beale", function, ((3.0, 0.5),), 0.0, domain, (1.0, 1.25))


def himmelblau() -> Landscape:
    """Himmelblau's function, (x^2 + y - 11)^2 + (x + y^2 - 7)^2, with four equal minima.

    Returns:
        The landscape with its minimum 0 at four points.
    """

    def function(p):
        return (p[0] ** 2 + p[1] - 11.0) ** 2 + (p[0] + p[1] ** 2 - 7.0) ** 2

    minimisers = (
        (3.0, 2.0),
        (-2.805118086952745, 3.131312518250573),
        (-3.779310253377747, -3.283185991286170),
        (3.584428340330492, -1.848126526964404),
    )
    domain = ((-5.0, 5.0), (-5.0, 5.0))
    return Landscape("himmelblau", "Himmelblau", function, minimisers, 0.0, domain, (-0.5, -1.0))


def ill_conditioned(condition: float = 50.0) -> Landscape:
    """A quadratic bowl (x^2 + condition * y^2) / 2, stretched along x.

    Args:
        condition: the ratio of the curvatures, at least 1.

    Returns:
        The landscape with its minimum 0 at the origin.

    Raises:
        ValueError: where `condition` is below 1.
    """
    if not condition >= 1.0:
        raise ValueError(f"condition={condition} must be at least 1")

    def function(p):
        return 0.5 * (p[0] ** 2 + condition * p[1] ** 2)

    domain = ((-4.0, 4.0), (-1.5, 1.5))
    return Landscape(
        "ill_conditioned", "Ill-conditioned bowl", function, ((0.0, 0.0),), 0.0, domain, (-3.5, 1.0)
    )


_MAKERS = {maker.__name__: maker for maker in (beale, himmelblau, ill_conditioned, rosenbrock)}


def landscape_names() -> tuple[str, ...]:
    """Returns the names of all two-dimensional landscapes in alphabetical order."""
    return tuple(sorted(_MAKERS))


def landscape(name: str) -> Landscape:
    """Makes a two-dimensional landscape by name.

    Args:
        name: one of `landscape_names()`.

    Returns:
        The landscape.

    Raises:
        ValueError: for an unknown name, with the nearest match.
    """

    if name not in _MAKERS:
        raise ValueError(unknown("landscape", name, _MAKERS))
    return _MAKERS[name]()
