"""Gradients that leave alone what a layer did for earlier tasks."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from gradlab import core
from gradlab.core import Mask, Params, Scalar, Updates, hyper, static
from gradlab.transforms._hebbian_subspace import first_subspaces, hebbian_step
from gradlab.transforms._layer_inputs import example_inputs, over_layers


class HebbianState(NamedTuple):
    """Steps so far; for each layer the rows that span its inputs, and their momentum."""

    count: Any
    subspace: Any
    mu: Any


class HebbianProjection(core.Rule):
    """Removes from gradients what lies in the inputs of earlier tasks, which it learns."""

    hebbian_rate: Scalar = hyper("[0, inf)")
    hebbian_momentum: Scalar = hyper("[0, 1)")
    rank: int = static(convert=core.count_at_least(1))
    task_starts: tuple[int, ...] = static(convert=core.increasing_steps)
    hebbian_steps: int = static(convert=core.count_at_least(0))
    seed: int = static(convert=core.integer)
    mask: Mask = static()

    needs = ("inputs",)

    def init(self, params: Params) -> HebbianState:
        subspace = first_subspaces(params, core.weight_arrays(self.mask, params), self)
        return HebbianState(core.step_count(), subspace, jax.tree.map(jnp.zeros_like, subspace))

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, HebbianState]:
        task = jnp.sum(state.count >= jnp.array(self.task_starts, jnp.int32))

        def leaf(h: Any, g: jax.Array, rows: jax.Array, mu: jax.Array, x: jax.Array) -> tuple:
            of_task = (jnp.arange(rows.shape[0]) // self.rank)[:, None]
            done, matrix = jnp.where(of_task < task, rows, 0), g.reshape(x.shape[-1], -1)
            projected = matrix - done.T @ (done @ matrix)
            for _ in range(self.hebbian_steps):
                step = hebbian_step(jnp.where(of_task <= task, rows, 0), x)
                mu = jnp.where(of_task == task, core.average(mu, step, h.hebbian_momentum), mu)
                rows = jnp.where(of_task == task, rows + h.hebbian_rate * mu, rows)
            return projected.reshape(g.shape), rows, mu

        layers = over_layers(self, leaf, updates, extra["inputs"], state.subspace, state.mu)
        return layers[0], HebbianState(optax.safe_increment(state.count), *layers[1:])


@core.builds(HebbianProjection)
def hebbian_orthogonal_projection(
    rank: int,
    task_starts: tuple[int, ...],
    hebbian_rate: Scalar = 0.01,
    hebbian_momentum: Scalar = 0.9,
    *,
    hebbian_steps: int = 5,
    seed: int = 0,
    mask: Mask = None,
):
    r"""Protects earlier tasks: no step along the principal inputs that layers had for them.

    $$G \leftarrow G - H^\top H G,\quad
    \Delta H = \mathrm{avg}\big[y\,(x - H^\top y)^\top\big],\quad y = H x$$

    for weights of shape (inputs, outputs). Of each task, rows of H learn the principal subspace
    of a layer's inputs x by a Hebbian and an anti-Hebbian rule; when the next task begins, they
    are fixed, and gradients are projected to where these inputs are zero. It stands before an
    optimizer without weight decay. The momentum of what follows should be reset when a task
    begins (`gl.reset`).

    `update` needs an extra argument `inputs`: what each layer was fed, a tree like the
    parameters or a part of one, with arrays whose last axis is as long as all axes of the
    weights before the last one.

    Args:
      rank: rows of H for each task, at least 1.
      task_starts: the steps at which the second task and all later ones begin.
      hebbian_rate: learning rate of H [per squared input], in [0, inf).
      hebbian_momentum: decay of the average of Hebbian steps, in [0, 1).
      hebbian_steps: Hebbian steps for each gradient, at least 0.
      seed: of the orthogonal rows that learning starts from. It decides the first state and so
        is no hyperparameter.
      mask: which arrays are protected, a tree of bools or a function from parameters to one.
        None: arrays of two or more dimensions.

    Returns:
      The transformation. State: for each layer twice its inputs times `rank` times the number
      of tasks, and a count.

    Raises:
      ValueError: an argument outside its range; steps that do not increase; inputs that fit no
        weights, or none for a layer; a mask that selects nothing.
      TypeError: no `inputs`.

    References:
      Xiao, Meng, Zhang, He and Lin, "Hebbian Learning based Orthogonal Projection for Continual
      Learning of Spiking Neural Networks", arXiv:2402.11984v1; the authors' `HLOP`.

    Differs:
      The paper projects a neuron's input traces, here the gradient made of them is projected,
      which is the same. All tasks have as many rows. There are no spiking lateral neurons.

    Example:
      >>> import gradlab as gl, jax.numpy as jnp
      >>> opt = gl.hebbian_orthogonal_projection(1, task_starts=(100,), hebbian_rate=0.1)
      >>> params, x = jnp.zeros((2, 1)), jnp.array([[2.0, 0.0]])
      >>> state, g = opt.init(params), jnp.ones((2, 1))
      >>> for _ in range(101):
      ...     updates, state = opt.update(g, state, params, inputs=x)
      >>> [round(abs(float(u)), 3) for u in updates[:, 0]]
      [0.0, 1.0]
    """


ENTRY = core.Entry(
    hebbian_orthogonal_projection,
    formula="G -= H.T @ H @ G; H += rate * average of y (x - H.T y).T, y = H x",
    paper=("M047",),
    example={"rank": 1, "task_starts": (1,), "hebbian_rate": 0.1},
    needs=("inputs",),
    traits=core.Traits(elementwise=False),
    extra=example_inputs,
)
