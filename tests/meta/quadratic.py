"""Descent on quadratics with moving targets: what the papers' formulas are tried on."""

import jax.numpy as jnp
import numpy as np

SIZE, STEPS = 3, 12
HYPER = {"learning_rate": 0.1, "momentum": 0.8}
_draw = np.random.default_rng(0)
CURVATURE = np.array([0.3, 1.0, 2.0])
TARGETS = _draw.normal(size=(STEPS, SIZE))
DRAWS = _draw.normal(size=(5, SIZE))
START = _draw.normal(size=SIZE)
OUTER = _draw.normal(size=SIZE)


def loss(x, target):
    return jnp.sum(jnp.asarray(CURVATURE, x.dtype) * jnp.square(x - target)) / 2


def outer_loss(x, target=OUTER):
    return jnp.sum(jnp.square(x - jnp.asarray(target, x.dtype))) / 2


def numbers(grad):
    """The derivatives in learning rate and momentum of an optimizer's gradient."""
    return np.array([grad.learning_rate, grad.momentum])
