"""A learned optimizer: a small recurrent network for each coordinate, with shared weights."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradlab import core
from gradlab.core import Params, Scalar, ScalarOrSchedule, Updates, hyper
from gradlab.meta.learned._weights import check_shapes, shipped, size


class LearnedRNNState(NamedTuple):
    """The hidden units of every coordinate: a tree like the parameters for each unit."""

    hidden: tuple


class LearnedRNNDirection(core.Rule):
    """A direction by a recurrent network that all coordinates share."""

    weights: dict[str, jax.Array] | None = hyper()
    log_range: Scalar = hyper("(0, inf)")

    def present(self) -> core.Transform:
        weights = self.weights
        if weights is None:
            return self.with_values(weights=shipped("learned_rnn")).present()
        n = size(weights, "wh", 0)
        rows = {"wx": (2, 3 * n), "wh": (n, 3 * n), "b": (3 * n,), "out": (n,), "bias": (1,)}
        check_shapes(self.owner(), weights, rows)
        return super().present()

    def init(self, params: Params) -> LearnedRNNState:
        units = jnp.shape((self.weights or {})["wh"])[0]
        return LearnedRNNState(tuple(core.moments_like(params) for _ in range(units)))

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, LearnedRNNState]:
        def leaf(h: Any, g: jax.Array, *hidden: jax.Array) -> tuple:
            if jnp.iscomplexobj(g):
                raise TypeError("learned_rnn: complex parameters are not supported")
            new = gated(h.weights, logarithmic(g, h.log_range), jnp.stack(hidden, -1))
            direction = new @ h.weights["out"] + h.weights["bias"][0]
            return direction, *jnp.moveaxis(new, -1, 0)

        updates, *hidden = self.each(leaf, updates, *state.hidden)
        return updates, LearnedRNNState(tuple(hidden))


def logarithmic(g: jax.Array, log_range: Any) -> jax.Array:
    """Two inputs for a gradient of any size: its logarithm and its sign, or itself if tiny."""
    size = jnp.abs(g)
    large = size >= jnp.exp(-log_range)
    log = jnp.log(jnp.where(large, size, 1)) / log_range
    first = jnp.where(large, log, -1)
    second = jnp.where(large, jnp.sign(g), jnp.exp(log_range) * g)
    return jnp.stack([first, second], -1)


def gated(weights: Any, x: jax.Array, h: jax.Array) -> jax.Array:
    """One step of a gated recurrent unit."""
    n = h.shape[-1]
    inputs = x @ weights["wx"] + weights["b"]
    gates = jax.nn.sigmoid(inputs[..., : 2 * n] + h @ weights["wh"][:, : 2 * n])
    keep, reset = gates[..., :n], gates[..., n:]
    candidate = jnp.tanh(inputs[..., 2 * n :] + (reset * h) @ weights["wh"][:, 2 * n :])
    return keep * h + (1 - keep) * candidate


class LearnedRNN(core.Optimizer, LearnedRNNDirection):
    """The learned direction with a learning rate."""


@core.builds(LearnedRNN)
def learned_rnn(
    weights: dict[str, jax.Array] | None = None,
    learning_rate: ScalarOrSchedule = 0.01,
    log_range: Scalar = 10.0,
    *,
    weight_decay: ScalarOrSchedule | None = None,
    mask: core.Mask = None,
):
    r"""A learned optimizer: a small recurrent network reads the gradients of each coordinate.

    $$h \leftarrow \mathrm{GRU}_w(x(g), h),\quad \theta \leftarrow \theta - \eta\,
    (o^\top h + c),\quad x(g) = \begin{cases}\left(\log|g| / p,\ \mathrm{sgn}\,g\right) &
    |g| \ge e^{-p}\\ \left(-1,\ e^p g\right) & \text{else}\end{cases}$$

    All coordinates share the network, whose weights are leaves, and each has hidden units of
    its own; what the method remembers is learned, too.

    The weights that come with the package are those of `python -m gradlab.examples.meta_train
    --rule learned_rnn`. They are to start from: beside Adam with the best of nine learning rates
    the final training loss over five seeds, in units of that at the start, was higher on each of
    eight tasks, and far higher on larger networks than those of the meta-training (`learned_mlp`
    did better everywhere).

    | task | Adam | learned |
    |---|---|---|
    | quadratics of 16 | 0.0009 ± 0.0006 | 0.0021 ± 0.0005 |
    | quadratics of 64 | 0.0070 ± 0.0031 | 0.0170 ± 0.0059 |
    | digits 16-16-10 | 0.154 ± 0.020 | 0.178 ± 0.020 |
    | digits 16-16-16-10 | 0.164 ± 0.008 | 0.435 ± 0.082 |
    | digits 64-10 | 0.040 ± 0.007 | 0.063 ± 0.018 |
    | digits 64-32-10 | 0.037 ± 0.009 | 0.271 ± 0.049 |
    | digits 64-32-32-10 | 0.046 ± 0.013 | 1.370 ± 0.175 |
    | digits 64-32-10, 800 steps | 0.012 ± 0.003 | 0.701 ± 0.102 |

    Args:
      weights: of the network, as `gl.meta.rnn_weights` makes them: `wx` (2, 3 n), `wh`
        (n, 3 n), `b` (3 n,) with the gates side by side, `out` (n,), `bias` (1,). None: the trained
        ones.
      learning_rate: rate η [parameter units per output], in [0, inf), or a schedule. The
        trained weights are made for its default.
      log_range: p, beyond which a gradient counts as tiny [nats below one], in (0, inf).
      weight_decay: decoupled weight decay [1 / step], in [0, inf), or a schedule.
      mask: what decays: a tree of bools, or a function from params to one.

    Returns:
      The optimizer. State: n × params, 8 × with the default size.

    Raises:
      ValueError: a hyperparameter outside its range; weights of other names or shapes.
      TypeError: complex parameters.

    References:
      Andrychowicz, Denil, Gómez Colmenarejo, Hoffman, Pfau, Schaul, Shillingford and de
      Freitas, "Learning to learn by gradient descent by gradient descent", NeurIPS 2016
      (arXiv:1606.04474), sections 2 and 2.1, preprocessing of appendix A.

    Differs:
      One layer of gated recurrent units in place of two of long short-term memory; the sign
      with which the output is taken.

    Example:
      >>> import gradlab as gl, jax
      >>> opt = gl.meta.learned_rnn(gl.meta.rnn_weights(jax.random.key(0), hidden=4))
      >>> len(opt.init({"w": 0.0})[0].hidden)
      4
    """


ENTRY = core.Entry(
    learned_rnn,
    formula="h = GRU(log|g|, sign(g), h); p -= lr * (o h + c)",
    paper=("andrychowicz2016learning",),
    # Small steps and a short range: the logarithm of a tiny gradient is too steep for finite
    # differences.
    example={"learning_rate": 1e-3, "log_range": 3.0},
    search_space={"learning_rate": (1e-3, 0.1, "log")},
    traits=core.Traits(
        smooth=False,
        kinks="where |g| = exp(-p), between logarithm and gradient: the derivative of either side",
        complex=False,
        temporaries="the gates of every coordinate, between products with the weights",
    ),
)
