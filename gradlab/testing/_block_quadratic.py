"""A bilevel problem with a known answer, whose inner variables come in blocks."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from gradlab.testing._subject import flat

BLOCKS = 3


@dataclasses.dataclass(frozen=True, eq=False)
class BlockQuadratic:
    """A bilevel problem with a known answer, whose inner variables come in blocks.

    For each block i, the inner objective is ½ (yᵢ − rᵢ)ᵀ A (yᵢ − rᵢ) with rᵢ = Bᵢx + bᵢ, and
    the outer one ½‖yᵢ − tᵢ‖² + ρ/2 ‖x‖². Together, the inner one is the sum and the outer one the
    mean over blocks, so that y*(x) = r, and the outer objective is quadratic in x.

    Attributes:
      curvature: A, of shape (2, 2).
      coupling: B, of shape (blocks, 2, 3).
      offset, target: b and t, of shape (blocks, 2).
      weight: ρ.
    """

    curvature: np.ndarray
    coupling: np.ndarray
    offset: np.ndarray
    target: np.ndarray
    weight: float = 0.1

    @classmethod
    def make(cls) -> BlockQuadratic:
        """The problem of the contract."""
        draw = np.random.default_rng(3)
        coupling = draw.normal(size=(BLOCKS, 2, 3))
        offset, target = draw.normal(size=(2, BLOCKS, 2))
        return cls(np.array([[1.0, 0.2], [0.2, 0.6]]), coupling, offset, target)

    def variables(self, dtype: Any = jnp.float32) -> tuple[Any, Any]:
        """Outer and inner variables to start from."""
        x = {"shift": jnp.asarray([-1.5, 1.0], dtype), "gain": jnp.asarray(1.0, dtype)}
        return x, {"w": jnp.zeros((BLOCKS, 2), dtype)}

    def batches(self, dtype: Any = jnp.float32, noise: Any = 0.0) -> tuple[Any, Any]:
        """The outer and the inner batch: what differs from block to block, and noise on it."""
        inner = {"coupling": self.coupling, "offset": self.offset + noise}
        return jax.tree.map(lambda a: jnp.asarray(a, dtype), (self.target - noise, inner))

    def outer_of_block(self, x: Any, y: Any, batch: Any) -> jax.Array:
        """The outer objective of one block."""
        square = jnp.sum(jnp.square(y["w"] - batch))
        return square / 2 + self.weight / 2 * jnp.sum(jnp.square(ravel_pytree(x)[0]))

    def inner_of_block(self, x: Any, y: Any, batch: Any) -> jax.Array:
        """The inner objective of one block."""
        off = y["w"] - batch["coupling"] @ ravel_pytree(x)[0] - batch["offset"]
        return off @ jnp.asarray(self.curvature, off.dtype) @ off / 2

    def outer(self, x: Any, y: Any, batch: Any) -> jax.Array:
        """The outer objective."""
        return jnp.mean(jax.vmap(self.outer_of_block, in_axes=(None, 0, 0))(x, y, batch))

    def inner(self, x: Any, y: Any, batch: Any) -> jax.Array:
        """The inner objective."""
        return jnp.sum(jax.vmap(self.inner_of_block, in_axes=(None, 0, 0))(x, y, batch))

    def inner_solution(self, x: np.ndarray) -> np.ndarray:
        """The inner variables that are best at outer ones, both as arrays."""
        return self.coupling @ x + self.offset

    def hypergradient(self, x: np.ndarray) -> np.ndarray:
        """The derivative of the outer objective along the inner solutions."""
        off = self.inner_solution(x) - self.target
        return np.einsum("bij,bi->j", self.coupling, off) / BLOCKS + self.weight * x

    def solution(self) -> np.ndarray:
        """The outer variables where the hypergradient is zero."""
        constant = self.hypergradient(np.zeros(3))
        return np.linalg.solve(
            np.stack([self.hypergradient(e) - constant for e in np.eye(3)], axis=1), -constant
        )

    @functools.cached_property
    def half_space(self) -> tuple[float, float]:
        """Sign and bound of a constraint that binds at the start, and not at the solution."""
        start = np.asarray(flat(self.variables()[0]), np.float64)
        values = [self.inner_solution(x).sum() - x.sum() for x in (start, self.solution())]
        sign = 1.0 if values[0] > values[1] else -1.0
        return sign, sign * (0.1 * values[0] + 0.9 * values[1])

    def constraint(self, x: Any, y: Any) -> jax.Array:
        """What is to stay at or below zero: it couples outer and inner variables."""
        sign, bound = self.half_space
        return sign * (jnp.sum(flat(y)) - jnp.sum(flat(x))) - bound

    def project(self, x: Any, y: Any) -> tuple[Any, Any]:
        """The nearest pair that keeps the constraint."""
        sign, _ = self.half_space
        size = flat(x).size + flat(y).size
        excess = sign * jnp.maximum(self.constraint(x, y), 0) / size
        return (
            jax.tree.map(lambda leaf: leaf + excess.astype(leaf.dtype), x),
            jax.tree.map(lambda leaf: leaf - excess.astype(leaf.dtype), y),
        )
