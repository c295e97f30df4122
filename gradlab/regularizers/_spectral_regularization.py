"""Spectral regularization: the largest singular value of each layer is kept near one."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradlab import core, linalg
from gradlab.core import Params, Scalar, hyper, static
from gradlab.regularizers import _leaves
from gradlab.regularizers._singular_values import largest


class SpectralState(NamedTuple):
    """The latest vectors of the power iteration, for each matrix."""

    vectors: Any


class SpectralRegularization(core.Regularizer):
    """The squared distance of a power of the largest singular value from one."""

    weight: Scalar = hyper("[0, inf)")
    power: Scalar = hyper("[1, inf)")
    num_iters: int = static(convert=core.count_at_least(1))
    mask: core.Mask = static()
    gains: core.Mask = static()
    biases: core.Mask = static()
    stack_axes: int = static(convert=core.count_at_least(0))

    def init(self, params: Params) -> SpectralState:
        return SpectralState(tuple(map(linalg.power_start, self._matrices(params))))

    def __call__(self, params: Params, state: SpectralState | None = None) -> jax.Array:
        sizes = [size for size, _ in self._largest(params, state or self.init(params))]
        penalties = [jnp.sum(jnp.square(core.power(x, self.power) - 1)) for x in sizes]
        for mask, goal in ((self.gains, 1), (self.biases, 0)):
            for x in () if mask is None else _leaves.chosen(self.owner(), mask, params, 0):
                # A gain is a diagonal matrix, a bias a matrix of one row.
                size = core.absolute(x) if goal else core.norm(x)
                penalties.append(jnp.sum(jnp.square(core.power(size, self.power) - goal)))
        return _leaves.total(self.weight, penalties)

    def advance(self, params: Params, state: SpectralState) -> SpectralState:
        """The state for the next step."""
        return SpectralState(tuple(vector for _, vector in self._largest(params, state)))

    def _matrices(self, params: Params) -> list[jax.Array]:
        arrays = _leaves.chosen(self.owner(), self.mask, params, 2 + self.stack_axes)
        return [_leaves.matrices(x, self.stack_axes) for x in arrays]

    def _largest(self, params: Params, state: SpectralState) -> list[tuple]:
        return largest(self.owner(), self._matrices(params), state.vectors, self.num_iters)


@core.builds(SpectralRegularization)
def spectral_regularization(
    weight: Scalar = 1e-3,
    power: Scalar = 2.0,
    *,
    num_iters: int = 30,
    mask: core.Mask = None,
    gains: core.Mask = None,
    biases: core.Mask = None,
    stack_axes: int = 0,
):
    r"""Spectral regularization keeps the largest singular value of every matrix near one.

    $$\lambda \sum_l \big(\sigma_1(W_l)^k - 1\big)^2$$

    So gradients keep their diversity over many tasks. The singular value comes from a power
    iteration that starts at the same vector each time; or, as in the paper, from one iteration
    that goes on where the last step ended, and so tells close singular values apart, too:

        penalty = gl.spectral_regularization(num_iters=1)
        state = penalty.init(params)                   # before training
        loss(params) + penalty(params, state)          # each step
        state = penalty.advance(params, state)

    Args:
      weight: the factor λ of the penalty [loss units], in [0, inf).
      power: the power k of the singular value, in [1, inf).
      num_iters: power iterations for each value; its error falls as (σ₂/σ₁)^(4 num_iters).
        Without a state descent turns matrices away from the start, so take many; with one, 1.
      mask: which parameters are matrices, a tree of bools or a function of params. None: all
        with at least two axes. The kernel of a convolution, (height, width, inputs, outputs),
        counts as the matrix (height · width · inputs, outputs).
      gains: which parameters multiply activations; each entry is kept near one, as the
        singular values of a diagonal matrix: λ Σ (|g|^k − 1)². None: none.
      biases: which parameters are added to activations; each array is kept near zero:
        λ ‖b‖^2k. None: none.
      stack_axes: how many leading axes only stack kernels, of scanned layers say.

    Returns:
      The regularizer: `penalty(params)` or `penalty(params, state)` is a scalar, in float32 or
      wider. State: one vector for each matrix, as long as its shorter side.

    Raises:
      ValueError: a hyperparameter outside its range, or a mask that chooses nothing or an array
        with too few axes.

    References:
      Lewandowski, Bortkiewicz, Kumar, György, Schuurmans, Ostaszewski and Machado, "Learning
      Continually by Spectral Regularization", arXiv:2406.06811v2.

    Differs:
      The derivative holds the vectors of the iteration constant; derivatives of that, as in
      hypergradients, go through the iteration. Without a state thirty iterations stand in for
      one that goes on. Gains and biases are penalised only where they are named, with the
      formulas above, which are those of diagonal matrices and of single rows.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> penalty = gl.spectral_regularization(1.0)
      >>> round(float(penalty({"kernel": jnp.diag(jnp.array([2.0, 0.5])), "bias": jnp.ones(2)})), 3)
      9.0
    """


ENTRY = core.Entry(
    spectral_regularization,
    formula="weight * sum_l (sigma_1(W_l)**power - 1)**2",
    paper=("M104",),
    example={"weight": 1e-3},
    search_space={"weight": (1e-6, 1e-1, "log"), "power": (1.0, 4.0, "linear")},
)
