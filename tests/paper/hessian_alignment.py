"""Hessian alignment, for a linear head with cross-entropy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def head_derivatives(
    kernel: np.ndarray, features: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Gradient and Hessian of the mean cross-entropy by a kernel of shape (inputs, classes)."""
    inputs, classes = kernel.shape
    gradient = np.zeros(inputs * classes)
    hessian = np.zeros((inputs * classes,) * 2)
    for x, y in zip(features, labels, strict=True):
        z = x @ kernel
        p = np.exp(z - z.max())
        p /= p.sum()
        gradient += np.outer(x, p - np.eye(classes)[y]).ravel() / len(labels)
        hessian += np.kron(np.outer(x, x), np.diag(p) - np.outer(p, p)) / len(labels)
    return gradient, hessian


def hessian_alignment(
    domains: Sequence[tuple[np.ndarray, np.ndarray]],
    *,
    hessian_weight: float,
    gradient_weight: float,
    signs: np.ndarray | None = None,
) -> float:
    """Hemati et al. 2023, arXiv:2308.11778v1: the penalty, from derivatives by domain.

    With `signs`, one row for each sample, Hutchinson's estimates of diagonals take the place of
    the products of Hessian and gradient.
    """
    gradients = [g for g, _ in domains]
    if signs is None:
        products = [h @ g for g, h in domains]
    else:
        products = [np.mean([r * (h @ r) for r in signs], axis=0) for _, h in domains]
    loss = 0.0
    for g, hg in zip(gradients, products, strict=True):
        loss += hessian_weight * np.sum((hg - np.mean(products, axis=0)) ** 2)
        loss += gradient_weight * np.sum((g - np.mean(gradients, axis=0)) ** 2)
    return loss / len(domains)
