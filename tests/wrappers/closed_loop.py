"""Small losses in NumPy and in JAX, and a loop that trains with a wrapper."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

MATRIX = np.random.default_rng(3).normal(size=(6, 6))
HESSIAN = MATRIX @ MATRIX.T / 6 + 0.1 * np.eye(6)
START = np.random.default_rng(4).normal(size=(3, 2))


def gradient(x):
    """Of x H x / 2 + sum(cos(2 x)), in NumPy, for any shape of six numbers."""
    flat = x.reshape(6)
    return (HESSIAN @ flat - 2 * np.sin(2 * flat)).reshape(x.shape)


def loss(x):
    """The same in JAX."""
    flat = x.reshape(6)
    return flat @ jnp.asarray(HESSIAN, x.dtype) @ flat / 2 + jnp.sum(jnp.cos(2 * flat))


def logistic_gradient(curve):
    """The gradient of the logistic loss of a stored curve, in JAX."""
    features, labels = (jnp.asarray(curve.extra[name]) for name in ("features", "labels"))
    return jax.grad(lambda x: jnp.mean(jax.nn.softplus(-labels * (features @ x))) + 0.05 * x @ x)


def updates_of(opt, grad_fn, x, steps, calls=1, **extra):
    """Updates of each step: between parameters before the first and after the last call.

    Extra arguments of `update` are functions of the parameters.
    """

    def step(carry, _):
        start, state = carry
        x = start
        for _ in range(calls):
            more = {name: function(x) for name, function in extra.items()}
            updates, state = opt.update(grad_fn(x), state, x, grad_fn=grad_fn, **more)
            x = optax.apply_updates(x, updates)
        return (x, state), x - start

    run = jax.jit(lambda x: jax.lax.scan(step, (x, opt.init(x)), None, length=steps)[1])
    return np.asarray(run(jnp.asarray(x)))


def states_of(opt, grad_fn, x, steps, **extra):
    """Parameters and state after some steps."""

    def step(carry, _):
        x, state = carry
        more = {name: function(x) for name, function in extra.items()}
        updates, state = opt.update(grad_fn(x), state, x, grad_fn=grad_fn, **more)
        return (optax.apply_updates(x, updates), state), None

    run = jax.jit(lambda x: jax.lax.scan(step, (x, opt.init(x)), None, length=steps)[0])
    return run(jnp.asarray(x))
