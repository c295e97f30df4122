"""Hager and Zhang, SIAM J. Optim. 16(1), 2005: the line search of section 4.

`line_search(phi, slope_of, c)` looks for a step from a first trial step on; `initial(...)` is the
routine that makes that trial step. The names are the paper's.
"""

from __future__ import annotations

import numpy as np

DEFAULTS = {
    "delta": 0.1,
    "sigma": 0.9,
    "epsilon": 1e-6,
    "theta": 0.5,
    "gamma": 0.66,
    "rho": 5.0,
    "psi0": 0.01,
    "psi1": 0.1,
    "psi2": 2.0,
}


class Found(Exception):
    """A point was generated that satisfies T1 or T2; None, where there are too many points."""


class Search:
    """One line search; `points` are the steps at which the objective was evaluated, in order."""

    def __init__(self, phi, slope_of, most=1000, **parameters):
        self.phi, self.slope_of, self.most = phi, slope_of, most
        self.__dict__ |= DEFAULTS | parameters
        self.value0, self.slope0 = phi(0.0), slope_of(0.0)
        self.limit = self.value0 + self.epsilon * abs(self.value0)
        self.points = []

    def generate(self, c):
        """Evaluates at c; ends the search where the conditions hold."""
        self.points.append(c)
        value, slope = self.phi(c), self.slope_of(c)
        curvature = slope >= self.sigma * self.slope0
        t1 = value - self.value0 <= self.delta * c * self.slope0 and curvature
        t2 = (2 * self.delta - 1) * self.slope0 >= slope and curvature and value <= self.limit
        if t1 or t2:
            raise Found(c)
        if len(self.points) == self.most:
            raise Found(None)
        return value, slope

    def u3(self, a, b):
        while True:
            d = (1 - self.theta) * a + self.theta * b
            value, slope = self.generate(d)
            if slope >= 0:
                return a, d
            if value <= self.limit:
                a = d
            else:
                b = d

    def update(self, a, b, c):
        if not a < c < b:
            return a, b
        value, slope = self.generate(c)
        if slope >= 0:
            return a, c
        if value <= self.limit:
            return c, b
        return self.u3(a, c)

    def bracket(self, c):
        lower = 0.0
        while True:
            value, slope = self.generate(c)
            if slope >= 0:
                return lower, c
            if value > self.limit:
                return self.u3(0.0, c)
            lower, c = c, self.rho * c

    def secant(self, a, b):
        slope_a, slope_b = self.slope_of(a), self.slope_of(b)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.float64(a * slope_b - b * slope_a) / np.float64(slope_b - slope_a)

    def secant2(self, a, b):
        c = self.secant(a, b)
        lower, upper = self.update(a, b, c)
        if c == upper:
            return self.update(lower, upper, self.secant(b, upper))
        if c == lower:
            return self.update(lower, upper, self.secant(a, lower))
        return lower, upper

    def run(self, c):
        """L0 to L3."""
        try:
            a, b = self.bracket(c)
            while True:
                lower, upper = self.secant2(a, b)
                if upper - lower > self.gamma * (b - a):
                    lower, upper = self.update(lower, upper, (lower + upper) / 2)
                a, b = lower, upper
        except Found as found:
            return found.args[0]


def initial(x, u, value, phi, slope0, last, *, psi0, psi1, psi2):
    """I0 to I2, with the updates u where the paper has -g."""
    if last is None:
        if np.any(x != 0):
            return psi0 * np.max(np.abs(x)) / np.max(np.abs(u))
        return psi0 * abs(value) / abs(slope0) if value != 0 else 1.0
    probe = psi1 * last
    curvature = ((phi(probe) - value) / probe - slope0) / probe
    if phi(probe) <= value and curvature > 0:
        return -slope0 / (2 * curvature)
    return psi2 * last


def descent(fn, grad, x, steps, **parameters):
    """Steepest descent with this line search: yields step, number of evaluations, x."""
    names = {"psi0", "psi1", "psi2"}
    given = DEFAULTS | parameters
    last = None
    for _ in range(steps):
        g = grad(x)
        u = -g

        def phi(step, x=x, u=u):
            return fn(x + step * u)

        def slope_of(step, x=x, u=u):
            return grad(x + step * u) @ u

        search = Search(phi, slope_of, **given)
        psis = {name: given[name] for name in names}
        c = initial(x, u, fn(x), phi, search.slope0, last, **psis)
        probes = last is not None
        last = search.run(c)
        x = x + last * u
        yield last, len(search.points) + probes, x
