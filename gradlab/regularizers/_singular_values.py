"""The largest singular values of the matrices of a tree."""

from __future__ import annotations

from collections.abc import Sequence

import jax

from gradlab import core, linalg


def largest(
    owner: str, arrays: Sequence[jax.Array], vectors: Sequence[jax.Array], num_iters: int
) -> list[tuple[jax.Array, jax.Array]]:
    """The largest singular values of stacks of matrices, and the vectors that go with them.

    Args:
      owner: the public function, for messages.
      arrays: stacks of matrices, of shape (matrices, inputs, outputs).
      vectors: where the power iteration starts, of shape (matrices, min(inputs, outputs)).
      num_iters: power iterations.

    Raises:
      ValueError: vectors of other matrices.
    """
    wanted = [(len(x), min(x.shape[1:])) for x in arrays]
    found = [v.shape for v in vectors]
    if found != wanted:
        raise ValueError(
            f"{owner}: the state holds vectors of shapes {found}, these parameters need {wanted}"
        )

    def stacked(x: jax.Array, start: jax.Array) -> tuple:
        return linalg.spectral_norm(x, start, num_iters=num_iters)

    return core.batch_by_shape(stacked, arrays, vectors)
