"""Adam and the rules that differ from it in one line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

State = dict[str, np.ndarray]
Steps = Iterator[tuple[np.ndarray, State]]


def lookahead(m: np.ndarray, g: np.ndarray, b1: float, t: int) -> np.ndarray:
    """The first moment of step t + 1, with the present gradient in the place of the next one.

    Dozat 2016, algorithm 2, with the momentum constant instead of scheduled.
    """
    return b1 * m / (1 - b1 ** (t + 1)) + (1 - b1) * g / (1 - b1**t)


def adam(
    gradients: Iterable[np.ndarray],
    x: np.ndarray,
    *,
    learning_rate: float,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    eps_root: float = 0.0,
    weight_decay: float = 0.0,
    nesterov: bool = False,
) -> Steps:
    """Kingma and Ba 2015, "Adam: A Method for Stochastic Optimization", arXiv:1412.6980v9.

    Algorithm 1. `eps_root` (under the root), `nesterov` and `weight_decay` are not in the paper and
    off by default.
    """
    m, v = np.zeros_like(x), np.zeros_like(x)
    for t, g in enumerate(gradients, 1):
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g**2
        m_hat = lookahead(m, g, b1, t) if nesterov else m / (1 - b1**t)
        v_hat = v / (1 - b2**t)
        direction = m_hat / (np.sqrt(v_hat + eps_root) + eps)
        update = -learning_rate * (direction + weight_decay * x)
        x = x + update
        yield update, {"mu": m, "nu": v}


def adamw(
    gradients: Iterable[np.ndarray],
    x: np.ndarray,
    *,
    learning_rate: float,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    eps_root: float = 0.0,
    weight_decay: float = 1e-4,
    nesterov: bool = False,
) -> Steps:
    """Loshchilov and Hutter 2019, "Decoupled Weight Decay Regularization", arXiv:1711.05101v3.

    Algorithm 2. The paper multiplies the decay by the schedule eta_t alone; here, as in optax and
    torch, it is multiplied by the learning rate (the product alpha * eta_t) too.
    """
    rest = {"b1": b1, "b2": b2, "eps": eps, "eps_root": eps_root, "nesterov": nesterov}
    return adam(gradients, x, learning_rate=learning_rate, weight_decay=weight_decay, **rest)


def nadam(
    gradients: Iterable[np.ndarray],
    x: np.ndarray,
    *,
    learning_rate: float,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    eps_root: float = 0.0,
    weight_decay: float = 0.0,
) -> Steps:
    """Dozat 2016, "Incorporating Nesterov Momentum into Adam", ICLR workshop, algorithm 2.

    Simplified as in optax: the momentum mu_t is the constant b1 (the paper allows a schedule, and
    divides by the products of its values), and the second moment is corrected as in Adam (the
    paper multiplies it by b2 once more, which its other implementations leave out too).
    """
    rest = {"b1": b1, "b2": b2, "eps": eps, "eps_root": eps_root, "weight_decay": weight_decay}
    return adam(gradients, x, learning_rate=learning_rate, nesterov=True, **rest)


def nadamw(
    gradients: Iterable[np.ndarray],
    x: np.ndarray,
    *,
    learning_rate: float,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    eps_root: float = 0.0,
    weight_decay: float = 1e-4,
) -> Steps:
    """`nadam` with the decoupled weight decay of `adamw`; a combination without a paper."""
    rest = {"b1": b1, "b2": b2, "eps": eps, "eps_root": eps_root, "weight_decay": weight_decay}
    return nadam(gradients, x, learning_rate=learning_rate, **rest)


def amsgrad(
    gradients: Iterable[np.ndarray],
    x: np.ndarray,
    *,
    learning_rate: float,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    eps_root: float = 0.0,
    bias_correction_mu: bool = True,
    bias_correction_nu: bool = True,
    weight_decay: float = 0.0,
) -> Steps:
    """Reddi et al. 2018, "On the Convergence of Adam and Beyond", arXiv:1904.09237v1.

    Algorithm 2. The paper corrects neither moment and has no eps: set both `bias_correction_*` to
    False for it. optax's default, taken here, corrects both, and takes the maximum of the corrected
    second moment; torch takes the maximum of the raw one and corrects it afterwards.
    """
    m, v, v_max = np.zeros_like(x), np.zeros_like(x), np.zeros_like(x)
    for t, g in enumerate(gradients, 1):
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g**2
        m_hat = m / (1 - b1**t) if bias_correction_mu else m
        v_max = np.maximum(v_max, v / (1 - b2**t) if bias_correction_nu else v)
        direction = m_hat / (np.sqrt(v_max + eps_root) + eps)
        update = -learning_rate * (direction + weight_decay * x)
        x = x + update
        yield update, {"mu": m, "nu": v, "nu_max": v_max}


def adamax(
    gradients: Iterable[np.ndarray],
    x: np.ndarray,
    *,
    learning_rate: float,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
) -> Steps:
    """Kingma and Ba 2015, arXiv:1412.6980v9, algorithm 2.

    The paper's u = max(b2 u, |g|) has no eps and divides zero by zero where no gradient has come
    yet; optax and torch both take |g| + eps inside the maximum.
    """
    m, u = np.zeros_like(x), np.zeros_like(x)
    for t, g in enumerate(gradients, 1):
        m = b1 * m + (1 - b1) * g
        u = np.maximum(b2 * u, np.abs(g) + eps)
        update = -learning_rate * (m / (1 - b1**t) / u + weight_decay * x)
        x = x + update
        yield update, {"mu": m, "nu": u}
