"""A per-parameter network as an optimizer: Metz et al. 2022, without factored moments."""

import numpy as np


def learned_mlp(
    gradients,
    x,
    *,
    weights,
    learning_rate=0.01,
    decays=(0.9, 0.99, 0.999),
    b2=0.999,
    magnitude_rate=0.1,
    eps=1e-5,
):
    w = {name: np.asarray(array, np.float64) for name, array in weights.items()}
    timescales = np.array([1, 3, 10, 30, 100, 300, 1000, 3000, 10_000, 30_000, 100_000])

    def over(a, b):
        return np.divide(a, b, out=np.zeros_like(a), where=b != 0)

    def unit(a, eps=0.0):
        return over(a, np.full_like(a, np.sqrt(np.mean(a**2) + eps)))

    m, v = [np.zeros_like(x) for _ in decays], np.zeros_like(x)
    for t, g in enumerate(gradients, 1):
        m = [b * old + (1 - b) * g for b, old in zip(decays, m, strict=True)]
        v = b2 * v + (1 - b2) * g**2
        root = np.sqrt(v / (1 - b2**t))
        means = [old / (1 - b**t) for b, old in zip(decays, m, strict=True)]
        features = [unit(g), *map(unit, m), unit(root), unit(x, eps)]
        features += [over(a, root) for a in (g, *means)]
        step = np.tanh(t / timescales - 1)
        update = np.zeros_like(x)
        for place in np.ndindex(x.shape):
            inputs = np.concatenate([[f[place] for f in features], step])
            hidden = np.tanh(inputs @ w["w0"] + w["b0"])
            hidden = np.tanh(hidden @ w["w1"] + w["b1"])
            direction, magnitude = hidden @ w["w2"] + w["b2"]
            update[place] = -learning_rate * direction * np.exp(magnitude_rate * magnitude)
        x = x + update
        yield update, {"nu": v}
