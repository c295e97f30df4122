"""Training runs that are tuned while they run, with every kind of hyperparameter or few."""

import jax
import jax.numpy as jnp
import numpy as np

import gradlab as gl
from gradlab.meta import online_hypergradient
from gradlab.testing._subject import compiled_once


def square(x, target):
    return jnp.sum((x - target) ** 2) / 2


def walks(walkers, steps, noise, seed=0):
    """Noisy sights of targets that walk at random by steps of one."""
    draw = np.random.default_rng(seed)
    places = np.cumsum(draw.normal(size=(steps, walkers)), 0)
    return jnp.asarray(places + noise * draw.normal(size=(steps, walkers)), jnp.float32)


def one_step(batches):
    """Batches for one inner step at a time, each validated on the next."""
    return batches[:-1, None], batches[1:]


def curved(params, batch, hyper=1.0):
    """A smooth loss of two groups of parameters, weighted by `hyper`."""
    out = jnp.tanh(batch @ params["w"]) + params["b"]
    weight = hyper["weight"] if isinstance(hyper, dict) else hyper
    return jnp.mean(weight * (out - jnp.sin(jnp.sum(batch, -1))) ** 2)


def plain(params, batch, hyper=None):
    del hyper
    return curved(params, batch)


def knots(scale):
    return gl.piecewise_interpolate_schedule("linear", 0.1, {2: scale, 5: 0.5})


def grouped():
    """Groups with rates of their own, one of them scheduled."""
    transforms = {"w": gl.adamw(knots(2.0), weight_decay=0.01), "b": gl.sgd(0.05)}
    return gl.partition(transforms, {"w": "w", "b": "b"})


START = {"w": np.array([0.3, -0.2, 0.1]), "b": np.array(0.1)}
POINTS = np.random.default_rng(1).normal(size=(5, 6, 3))
"""Four inner steps and a validation of six points each."""

EVERYTHING = (
    "transforms['b'].learning_rate",
    "transforms['w'].learning_rate.init_value",
    "transforms['w'].learning_rate.scales[*]",
    "transforms['w'].b?",
    "weight_decay",
    "hyper/*",
)


def everything(outer=None, **changes):
    """Tunes rates of groups, knots, betas, decay, and weights of examples."""
    arguments = {
        "tuned": EVERYTHING,
        "hyper": {"weight": np.linspace(0.5, 1.5, 6)},
        "ranges": {"*init_value": "(0, inf)", "hyper/weight": "[0, 2]"},
        **changes,
    }
    return online_hypergradient(grouped(), curved, plain, outer or gl.sgd(0.1), **arguments)


def light(outer=None, **changes):
    """Tunes a rate, a momentum and weights of examples: few programs to compile."""
    arguments = {
        "tuned": ("learning_rate", "momentum", "hyper/weight"),
        "hyper": {"weight": np.linspace(0.5, 1.5, 6)},
        "ranges": {"hyper/weight": "[0, 2]"},
        **changes,
    }
    opt = gl.sgd(0.1, momentum=0.5)
    return online_hypergradient(opt, curved, plain, outer or gl.sgd(0.1), **arguments)


def start(dtype=jnp.float32):
    return jax.tree.map(lambda x: jnp.asarray(x, dtype), START)


def points(dtype=jnp.float32):
    data = jnp.asarray(POINTS, dtype)
    return data[:4], data[4]


# One program for each kind of tuner, whichever test asks first.
step = compiled_once(lambda tuner, *arguments: tuner.step(*arguments))
