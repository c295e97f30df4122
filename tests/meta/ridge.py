"""Ridge regression, whose optimum and its derivatives are known in closed form."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

DRAW = np.random.default_rng(0)
X, Y = DRAW.normal(size=(12, 4)), DRAW.normal(size=12)
X_VAL, Y_VAL = DRAW.normal(size=(7, 4)), DRAW.normal(size=7)
WEIGHTS = {"decay": 0.8, "shift": 0.3}


def tree(w):
    """Four weights as a tree of two arrays."""
    return {"bias": w[0], "kernel": w[1:]}


def vector(params):
    return jnp.concatenate([params["bias"][None], params["kernel"]])


def predict(hyper, params):
    """Predictions, and the weights themselves, which the loss decays."""
    w = vector(params)
    return jnp.asarray(X, w.dtype) @ w + hyper["shift"], w


def loss(hyper, outputs):
    predictions, w = outputs
    errors = predictions - jnp.asarray(Y, w.dtype)
    return jnp.sum(errors**2) / 2 + hyper["decay"] * jnp.sum(w**2) / 2


def inner(hyper, params):
    return loss(hyper, predict(hyper, params))


def outer(hyper, params):
    w = vector(params)
    errors = jnp.asarray(X_VAL, w.dtype) @ w + hyper["shift"] - jnp.asarray(Y_VAL, w.dtype)
    return jnp.sum(errors**2) / 2 + 0.1 * hyper["decay"] ** 2


def hessian(damping=0.0):
    return X.T @ X + (WEIGHTS["decay"] + damping) * np.eye(4)


def optimum():
    return np.linalg.solve(hessian(), X.T @ (Y - WEIGHTS["shift"]))


def parts():
    """In float64: ∂f/∂h, ∂f/∂w and ∂²g/∂h∂w at the optimum, of h = (decay, shift)."""
    w = optimum()
    errors = X_VAL @ w + WEIGHTS["shift"] - Y_VAL
    direct = np.array([0.2 * WEIGHTS["decay"], errors.sum()])
    return direct, X_VAL.T @ errors, np.stack([w, X.sum(0)])


def hypergradient(damping=0.0):
    """In closed form."""
    direct, slope, mixed = parts()
    return direct - mixed @ np.linalg.solve(hessian(damping), slope)


def solution(decay):
    """The optimum as a function of the decay that JAX can differentiate through."""
    x, y = jnp.asarray(X), jnp.asarray(Y)
    return jnp.linalg.solve(x.T @ x + decay * jnp.eye(4), x.T @ y)
