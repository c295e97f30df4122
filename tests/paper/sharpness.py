"""The wrappers that take gradients elsewhere, around sgd with momentum.

Each transcription is a generator `method(gradient_fn, x, steps, *, learning_rate, momentum,
**hyperparameters)` that yields the update of each step and moves `x` by it. Where a norm is
zero, what is divided by it is zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

Gradient = Callable[[np.ndarray], np.ndarray]


def unit(x: np.ndarray) -> np.ndarray:
    norm = np.sqrt(np.sum(x**2))
    return x / norm if norm > 0 else np.zeros_like(x)


def descend(step, x, steps, learning_rate, momentum) -> Iterator[np.ndarray]:
    """Heavy-ball descent with the gradients that `step(x, t)` gives."""
    trace = np.zeros_like(x)
    for t in range(steps):
        trace = momentum * trace + step(x, t)
        update = -learning_rate * trace
        x = x + update
        yield update


def asam(gradient: Gradient, x, steps, *, learning_rate, momentum=0.0, rho, eps):
    """Kwon et al. 2021, arXiv:2102.11600v3, algorithm 1 with p = 2 and T_w = |w| + eta."""

    def step(x, t):
        g, size = gradient(x), np.abs(x) + eps
        return gradient(x + rho * size * unit(size * g))

    return descend(step, x, steps, learning_rate, momentum)


def usam(gradient: Gradient, x, steps, *, learning_rate, momentum=0.0, rho):
    """Monzio Compagnoni et al. 2023, arXiv:2301.08203v3, USAM."""

    def step(x, t):
        return gradient(x + rho * gradient(x))

    return descend(step, x, steps, learning_rate, momentum)


def dnsam(gradient: Gradient, x, steps, *, learning_rate, momentum=0.0, rho, full):
    """The same, DNSAM; `full` is the gradient of all data."""

    def step(x, t):
        return gradient(x + rho * gradient(x) / np.sqrt(np.sum(full(x) ** 2)))

    return descend(step, x, steps, learning_rate, momentum)


def gradient_norm_penalty(
    gradient: Gradient, x, steps, *, learning_rate, momentum=0.0, gamma, eps, difference="forward"
):
    """Karakida et al. 2023, arXiv:2210.02720v2, section 3: F-GR, B-GR; the mean of both."""

    def step(x, t):
        g = gradient(x)
        forward = (gradient(x + eps * g) - g) / eps
        backward = (g - gradient(x - eps * g)) / eps
        slope = {"forward": forward, "backward": backward, "central": (forward + backward) / 2}
        return g + gamma * slope[difference]

    return descend(step, x, steps, learning_rate, momentum)


def gsam(gradient: Gradient, x, steps, *, learning_rate, momentum=0.0, rho, alpha):
    """Zhuang et al. 2022, arXiv:2203.08065v2, algorithm 1, at a constant rho."""

    def step(x, t):
        g = gradient(x)
        perturbed = gradient(x + rho * unit(g))
        parallel = np.sum(g * unit(perturbed)) * unit(perturbed)
        return perturbed - alpha * (g - parallel)

    return descend(step, x, steps, learning_rate, momentum)


def wsam(gradient: Gradient, x, steps, *, learning_rate, momentum=0.0, rho, gamma, decoupled=False):
    """Yue et al. 2023, arXiv:2305.15817v2, algorithm 2, or, decoupled, algorithm 1."""
    weight, trace = gamma / (1 - gamma), np.zeros_like(x)
    for _ in range(steps):
        g = gradient(x)
        sharpness = weight * (gradient(x + rho * unit(g)) - g)
        trace = momentum * trace + (g if decoupled else g + sharpness)
        update = -learning_rate * (trace + sharpness if decoupled else trace)
        x = x + update
        yield update


def looksam(gradient: Gradient, x, steps, *, learning_rate, momentum=0.0, rho, alpha, period):
    """Liu et al. 2022, arXiv:2203.02714v1, algorithm 1."""
    across = np.zeros_like(x)

    def step(x, t):
        nonlocal across
        g = gradient(x)
        if t % period:
            return g + alpha * np.sqrt(np.sum(g**2)) * unit(across)
        perturbed = gradient(x + rho * unit(g))
        across = perturbed - np.sum(perturbed * unit(g)) * unit(g)
        return perturbed

    return descend(step, x, steps, learning_rate, momentum)


def friendly_sam(gradient: Gradient, x, steps, *, learning_rate, momentum=0.0, rho, sigma, b1):
    """Li et al. 2024, arXiv:2403.12350v1, algorithm 1; the average starts at zero."""
    average = np.zeros_like(x)

    def step(x, t):
        nonlocal average
        g = gradient(x)
        average = b1 * average + (1 - b1) * g
        return gradient(x + rho * unit(g - sigma * average))

    return descend(step, x, steps, learning_rate, momentum)


def gcsam(gradient: Gradient, x, steps, *, learning_rate, momentum=0.0, rho):
    """Hassan et al. 2025, arXiv:2501.11584v2, for a matrix of (inputs, outputs)."""

    def step(x, t):
        g = gradient(x)
        perturbed = gradient(x + rho * unit(g - g.mean(0)))
        return perturbed - perturbed.mean(0)

    return descend(step, x, steps, learning_rate, momentum)


def msam(gradient: Gradient, x, steps, *, learning_rate, momentum=0.0, rho):
    """Becker et al. 2024, arXiv:2401.12033v2, algorithm 1: updates of the perturbed parameters."""
    trace = np.zeros_like(x)
    perturbed = x
    for _ in range(steps):
        g = gradient(perturbed)
        x = perturbed + rho * unit(trace)
        trace = momentum * trace + g
        after = x - learning_rate * trace - rho * unit(trace)
        yield after - perturbed
        perturbed = after


def xgrad(gradient: Gradient, x, steps, *, learning_rate, momentum=0.0, ahead):
    """Guan et al. 2024, arXiv:2305.18240v2, algorithm 1 with SGDM: of the predicted weights."""
    trace, predicted = np.zeros_like(x), x
    for _ in range(steps):
        trace = momentum * trace + gradient(predicted)
        x = x - learning_rate * trace
        after = x - ahead * learning_rate * trace
        yield after - predicted
        predicted = after
