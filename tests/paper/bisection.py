"""Burden and Faires, Numerical Analysis, 9th edition, section 2.1."""

from __future__ import annotations

import numpy as np


def bisection(f, a, b, *, steps):
    """Yields the midpoints p₁, p₂, … and the ends of the interval around them."""
    fa = f(a)
    for _ in range(steps):
        p = a + (b - a) / 2
        fp = f(p)
        yield p, a, b
        if np.sign(fa) * np.sign(fp) > 0:
            a, fa = p, fp
        else:
            b = p
