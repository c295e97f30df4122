"""Problems of several levels in NumPy: quadratic losses, every derivative by hand."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np


@dataclasses.dataclass(frozen=True)
class Quadratics:
    """Losses gᵢ(s) = ½ sᵀ Mᵢ s + cᵢᵀ s of all variables s, the lowest level's first.

    Attributes:
      sizes: how many variables each level has.
      matrices: M, of shape (levels, n, n), symmetric.
      linear: c, of shape (levels, n).
    """

    sizes: tuple[int, ...]
    matrices: np.ndarray
    linear: np.ndarray

    @classmethod
    def make(cls, sizes, reads, seed=0):
        """Losses that read nothing but the levels that `reads` lists for them, by number."""
        draw, n = np.random.default_rng(seed), sum(sizes)
        matrices, linear = draw.normal(size=(len(sizes), n, n)), draw.normal(size=(len(sizes), n))
        level = np.repeat(np.arange(len(sizes)), sizes)
        for i, others in enumerate(reads):
            own, seen = level == i, np.isin(level, (i, *others))
            matrices[i] = (matrices[i] + matrices[i].T) / 6
            matrices[i][np.ix_(own, own)] += 2 * np.eye(sizes[i])
            matrices[i] *= np.outer(seen, seen)
            linear[i] *= seen
        return cls(tuple(sizes), matrices, linear)

    def at(self, i):
        """Where the variables of a level are among all."""
        start = sum(self.sizes[:i])
        return slice(start, start + self.sizes[i])

    def slope(self, i, s):
        """The gradient of a loss in all variables."""
        return self.matrices[i] @ s + self.linear[i]

    def responses(self, i):
        """How all variables move with those from level i on, and where they are at zero.

        Level by level from below, θⱼ* is put into the losses of the levels above.
        """
        n = sum(self.sizes)
        moves, offset = np.eye(n), np.zeros(n)
        for j in range(i):
            total = moves.T @ self.matrices[j] @ moves
            constant = moves.T @ self.slope(j, offset)
            own, rest = self.at(j), slice(self.at(j).stop, n)
            inverse = np.linalg.inv(total[own, own])
            step, place = np.eye(n), np.zeros(n)
            step[own] = 0
            step[own, rest] = -inverse @ total[own, rest]
            place[own] = -inverse @ constant[own]
            moves, offset = moves @ step, moves @ place + offset
        return moves, offset

    def gradient(self, i, s):
        """The total derivative of a loss by its level's variables, with all variables at s."""
        moves, _ = self.responses(i)
        return moves[:, self.at(i)].T @ self.slope(i, s)

    def solution(self):
        """Where every level is at its best, given those above it."""
        moves, offset = self.responses(len(self.sizes))
        del moves
        return offset


def neumann(v, hessian, mixed, *, alpha, iterations):
    """A vector times the Jacobian of a best response, by the authors' series."""
    p = v
    for _ in range(iterations):
        v = v - alpha * hessian @ v
        p = v + p
    return -mixed @ (alpha * p)


def darts(v, slope, place, *, alpha):
    """The same by the authors' difference: `slope(place)` is the gradient in what responds to."""
    eps = alpha / (np.linalg.norm(v) + 1e-15)
    return (slope(place - eps * v) - slope(place + eps * v)) / (2 * eps)


def along_paths(problem, i, s, paths, products):
    """The authors' sum: the direct slope, and for each path a product for each step of it.

    Args:
      problem: the losses.
      i: the level whose loss it is.
      s: all variables.
      paths: tuples of levels, from i through what its loss sees back to i.
      products: `products(v, current, previous)` multiplies with the Jacobian of the best response
        of one level by the variables of another.
    """
    slope = problem.slope(i, s)
    total = slope[problem.at(i)].copy()
    for path in paths:
        v = slope[problem.at(path[1])]
        for current, previous in itertools.pairwise(path[1:]):
            v = products(v, current, previous)
        total += v
    return total
