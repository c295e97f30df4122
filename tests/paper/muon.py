"""Muon: momentum, orthogonalised by Newton and Schulz."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

State = dict[str, np.ndarray]

STANDARD = (3.4445, -4.7750, 2.0315)
DION = (
    (4.0848, -6.8946, 2.9270),
    (3.9505, -6.3029, 2.6377),
    (3.7418, -5.5913, 2.3037),
    (2.8769, -3.1427, 1.2046),
    (2.8366, -3.0525, 1.2012),
)
Coefficients = str | tuple[float, ...] | tuple[tuple[float, ...], ...]


def coefficients(ns_coeffs: Coefficients, ns_steps: int) -> np.ndarray:
    """One row (a, b, c) for each iteration; of a longer list the last ones."""
    named = {"standard": STANDARD, "dion": DION}
    rows = np.asarray(named[ns_coeffs] if isinstance(ns_coeffs, str) else ns_coeffs, float)
    return np.tile(rows, (ns_steps, 1)) if rows.ndim == 1 else rows[-ns_steps:]


def prescale(x: np.ndarray, preconditioning: str, eps: float) -> np.ndarray:
    """Bring the singular values below one. The bounds 1e-8 of the last two are not eps in optax."""
    if preconditioning == "frobenius":
        return x / (np.linalg.norm(x) + eps)
    if preconditioning == "spectral":
        return x / (np.linalg.norm(x, 2) + eps)
    gram = x @ x.T
    if preconditioning == "aol":
        return x / np.sqrt(np.maximum(np.abs(gram).sum(axis=1), 1e-8))[:, None]
    if preconditioning == "schatten":
        return x / np.sqrt(np.maximum(np.linalg.norm(gram), 1e-8))
    raise ValueError(preconditioning)


def orthogonalize(
    m: np.ndarray, rows: np.ndarray, eps: float = 1e-8, preconditioning: str = "frobenius"
) -> np.ndarray:
    """X <- a X + (b A + c A A) X with A = X X^T, on the wider of the matrix and its transpose."""
    x = prescale(m.T if m.shape[0] > m.shape[1] else m, preconditioning, eps)
    for a, b, c in rows:
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if m.shape[0] > m.shape[1] else x


def muon(
    gradients: Iterable[np.ndarray],
    x: np.ndarray,
    *,
    learning_rate: float,
    ns_coeffs: Coefficients = STANDARD,
    ns_steps: int = 5,
    beta: float = 0.95,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    nesterov: bool = True,
    adaptive: bool = False,
    preconditioning: str = "frobenius",
    consistent_rms: float | None = None,
    bias_correction: bool = True,
) -> Iterator[tuple[np.ndarray, State]]:
    """Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks" (web page).

    The page's algorithm, for one matrix of shape (in, out), with optax's choices as defaults:

    - The moment is an average and its bias is corrected (the page sums gradients, which is the same
      direction). With `nesterov` the correction changes the direction, because the moment is
      corrected with t + 1 and the gradient with t. `bias_correction=False` is the page's rule.
    - The width factor is sqrt(max(1, out / in)); the page writes (out, in) matrices and has
      max(1, rows / columns). With `consistent_rms` it is that number times sqrt(max(in, out))
      (Liu et al. 2025, "Muon is Scalable for LLM Training", arXiv:2502.16982v1, equation 4).
    - `adaptive` multiplies by the inner product of the moment and its orthogonalisation, the dual
      norm (Bernstein and Newhouse 2024, arXiv:2409.20325v2).
    - eps is added to the norm; torch takes the greater of the two.
    - The iteration is in the given precision; the page's code has bfloat16.
    - `preconditioning`: "aol" is Boissin et al. 2025 (arXiv:2512.04632), "schatten" Grishina et al.
      2025 (arXiv:2506.10935).
    """
    rows, (fan_in, fan_out) = coefficients(ns_coeffs, ns_steps), x.shape
    scale = np.sqrt(max(1.0, fan_out / fan_in))
    if consistent_rms is not None:
        scale = consistent_rms * np.sqrt(max(fan_in, fan_out))
    m = np.zeros_like(x)
    for t, g in enumerate(gradients, 1):
        m = beta * m + (1 - beta) * g
        now, then = (1 - beta**t, 1 - beta ** (t + 1)) if bias_correction else (1.0, 1.0)
        m_hat = beta * m / then + (1 - beta) * g / now if nesterov else m / now
        o = orthogonalize(m_hat, rows, eps, preconditioning)
        if adaptive:
            o = np.sum(m_hat * o) * o
        update = -learning_rate * (scale * o + weight_decay * x)
        x = x + update
        yield update, {"mu": m}
