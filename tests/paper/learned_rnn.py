"""A recurrent network for each coordinate: Andrychowicz et al. 2016, with gated units."""

import numpy as np


def learned_rnn(gradients, x, *, weights, learning_rate=0.01, log_range=10.0):
    w = {name: np.asarray(array, np.float64) for name, array in weights.items()}
    n = len(w["out"])

    def sigmoid(a):
        return 1 / (1 + np.exp(-a))

    def inputs(g):
        if abs(g) >= np.exp(-log_range):
            return np.array([np.log(abs(g)) / log_range, np.sign(g)])
        return np.array([-1.0, np.exp(log_range) * g])

    hidden = np.zeros((*x.shape, n))
    for g in gradients:
        update = np.zeros_like(x)
        for place in np.ndindex(x.shape):
            h, a = hidden[place], inputs(g[place]) @ w["wx"] + w["b"]
            z = sigmoid(a[:n] + h @ w["wh"][:, :n])
            r = sigmoid(a[n : 2 * n] + h @ w["wh"][:, n : 2 * n])
            c = np.tanh(a[2 * n :] + (r * h) @ w["wh"][:, 2 * n :])
            hidden[place] = z * h + (1 - z) * c
            update[place] = -learning_rate * (hidden[place] @ w["out"] + w["bias"][0])
        yield update, {}
