"""TrAct."""

from __future__ import annotations

import numpy as np


def tract(g: np.ndarray, inputs: np.ndarray, *, damping: float) -> np.ndarray:
    """Petersen et al. 2024, "TrAct", arXiv:2410.23970v1: the gradient of one first layer.

    The paper's weights are (outputs, inputs); its gradient of them is multiplied from the
    right. `inputs` has a row for each example.
    """
    examples, width = inputs.shape
    transposed = g.T @ np.linalg.inv(inputs.T @ inputs / examples + damping * np.eye(width))
    return transposed.T


def tract_of_few_examples(g_outputs: np.ndarray, inputs: np.ndarray, damping: float) -> np.ndarray:
    """The same from the gradient by outputs, as the authors' code has it for wide layers."""
    examples = inputs.shape[0]
    gram = inputs @ inputs.T / examples
    rest = gram @ np.linalg.inv(gram / damping + np.eye(examples))
    return (g_outputs.T @ (np.eye(examples) - rest / damping) @ inputs / damping).T
