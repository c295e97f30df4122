"""Weight conditioning: layers are used with equilibrated weights."""

from __future__ import annotations

import jax

from gradlab import core
from gradlab.core import Params, static
from gradlab.regularizers import _leaves


class WeightConditioning(core.Reparameterization):
    """Weights divided by the norms of rows or columns."""

    units: str = static(convert=core.one_of("outputs", "inputs"))
    mask: core.Mask = static()
    stack_axes: int = static(convert=core.count_at_least(0))

    def __call__(self, params: Params) -> Params:
        axis = -2 if self.units == "outputs" else -1

        def equilibrated(x: jax.Array) -> jax.Array:
            w = _leaves.matrices(x, self.stack_axes)
            lengths = core.norm(w, axis=axis, keepdims=True)
            return core.divide(w, lengths.astype(w.dtype)).reshape(x.shape)

        return _leaves.replace_chosen(
            equilibrated, self.owner(), self.mask, params, 2 + self.stack_axes
        )


@core.builds(WeightConditioning)
def weight_conditioning(*, units: str = "outputs", mask: core.Mask = None, stack_axes: int = 0):
    r"""Weight conditioning divides the weights that a layer uses by the norms of its rows.

    $$W \leftarrow D^{-1} W,\quad D = \mathrm{diag}\big(\lVert w_1 \rVert_2, \dots,
    \lVert w_m \rVert_2\big)$$

    Of all diagonal scalings of the rows this one brings the condition number, up to a factor √m,
    as low as any can. The loss is evaluated at the result, and the gradient goes through it:

        condition = gl.weight_conditioning()
        jax.grad(lambda params: loss(condition(params)))(params)

    Args:
      units: what is a row: `"outputs"`, all weights that feed one output unit, as in the paper,
        where matrices are (outputs, inputs); or `"inputs"`, all that one input feeds.
      mask: which parameters are matrices, a tree of bools or a function of params. None: all
        with at least two axes. The last axis are the outputs, all others the inputs.
      stack_axes: how many leading axes only stack kernels, of scanned layers say.

    Returns:
      The regularizer: `condition(params)` is a tree like the parameters, in their dtypes; what
      is not chosen is passed on. It has no hyperparameter. State: none.

    Raises:
      ValueError: a mask that chooses nothing or an array with too few axes.

    References:
      Saratchandran, Wang and Lucey, "Weight Conditioning for Smooth Optimization of Neural
      Networks", arXiv:2409.03424v2. The bound is theirs who wrote: van der Sluis, "Condition
      numbers and equilibration of matrices", Numerische Mathematik 14, 1969.

    Differs:
      A row that is exactly zero stays zero, with derivative zero.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> condition = gl.weight_conditioning()
      >>> condition({"kernel": jnp.array([[3.0, 0.0], [4.0, 9.0]])})["kernel"].round(3).tolist()
      [[0.6000000238418579, 0.0], [0.800000011920929, 1.0]]
    """


ENTRY = core.Entry(
    weight_conditioning,
    formula="W = W / norm(W, each unit)",
    paper=("M101",),
    example={},
    traits=core.Traits(
        smooth=False,
        kinks="Where the weights of a unit are all zero they have no direction; the derivative "
        "is taken as zero there.",
    ),
)
