"""Algorithms for bilevel problems, in NumPy: x and y are vectors, every derivative by hand."""

from __future__ import annotations

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Tasks:
    """f = ½‖y − t − Dx‖² + ρ/2 ‖x‖² and g = ½ (y − Bx − e)ᵀA(y − Bx − e) + Σ log cosh(y − Ex).

    Targets t and offsets e come with the batch.
    """

    A: np.ndarray
    B: np.ndarray
    D: np.ndarray
    E: np.ndarray
    rho: float = 0.2

    @classmethod
    def make(cls, blocks=(), seed=0):
        draw = np.random.default_rng(seed)
        root = draw.normal(size=(*blocks, 3, 3)) / 3
        A = root @ np.swapaxes(root, -1, -2) + 0.5 * np.eye(3)
        B, D, E = draw.normal(size=(3, *blocks, 3, 2)) / 2
        return cls(A, B, D, E)

    def of(self, i):
        return Tasks(self.A[i], self.B[i], self.D[i], self.E[i], self.rho)

    def fx(self, x, y, t):
        return -self.D.T @ (y - t - self.D @ x) + self.rho * x

    def fy(self, x, y, t):
        return y - t - self.D @ x

    def gx(self, x, y, e):
        return -self.B.T @ self.A @ (y - self.B @ x - e) - self.E.T @ np.tanh(y - self.E @ x)

    def gy(self, x, y, e):
        return self.A @ (y - self.B @ x - e) + np.tanh(y - self.E @ x)

    def gyy(self, x, y, e):
        return self.A + np.diag(1 / np.cosh(y - self.E @ x) ** 2)

    def gxy(self, x, y, e):
        return -self.B.T @ self.A - self.E.T @ np.diag(1 / np.cosh(y - self.E @ x) ** 2)


def f2sa(p, x, y, batches, *, eta, gamma, alpha, lam, delta, T=1):
    z = y
    for t, e in batches:
        for _ in range(T):
            y_new = y - alpha(lam) * (p.fy(x, y, t) + lam * p.gy(x, y, e))
            z = z - gamma * p.gy(x, z, e)
            y = y_new
        x = x - eta * (p.fx(x, y, t) + lam * (p.gx(x, y, e) - p.gx(x, z, e)))
        lam = lam + delta
        yield x, y


def f3sa(p, x, y, batches, *, eta, gamma, alpha, lam, delta, b1):
    z, old = y, None
    for t, e in batches:
        hz, hfy, hgy = p.gy(x, z, e), p.fy(x, y, t), p.gy(x, y, e)
        if old is not None:
            xo, yo, zo, kz, kfy, kgy, kfx, kgxy, kgxz = old
            hz = hz + b1 * (kz - p.gy(xo, zo, e))
            hfy = hfy + b1 * (kfy - p.fy(xo, yo, t))
            hgy = hgy + b1 * (kgy - p.gy(xo, yo, e))
        z_new, y_new = z - gamma * hz, y - alpha(lam) * (hfy + lam * hgy)
        hfx, hgxy, hgxz = p.fx(x, y_new, t), p.gx(x, y_new, e), p.gx(x, z_new, e)
        if old is not None:
            hfx = hfx + b1 * (kfx - p.fx(xo, y, t))
            hgxy = hgxy + b1 * (kgxy - p.gx(xo, y, e))
            hgxz = hgxz + b1 * (kgxz - p.gx(xo, z, e))
        old = x, y, z, hz, hfy, hgy, hfx, hgxy, hgxz
        x = x - eta * (hfx + lam * (hgxy - hgxz))
        y, z, lam = y_new, z_new, lam + delta
        yield x, y


def penalty_bilevel(p, x, y, batches, *, eta, gamma, sigma, rho, beta, T, X, Y):
    z = y
    for t, e in batches:
        w, u = z, y
        for _ in range(T):
            w = np.clip(w - gamma * (p.gy(x, w, e) + rho * (w - z)), *Y)
            gradient = sigma * p.fy(x, u, t) + p.gy(x, u, e) + rho * (u - y)
            u = np.clip(u - gamma * gradient, *Y)
        z, y = z + beta * (w - z), y + beta * (u - y)
        x = np.clip(x - eta * (p.fx(x, y, t) + (p.gx(x, y, e) - p.gx(x, z, e)) / sigma), *X)
        yield x, y


def sl_bamm(p, x, y, batches, *, alpha, beta, eta, mu0, q):
    v = np.zeros_like(y)
    for k, (t, e) in enumerate(batches):
        mu = mu0 / (k + 1) ** q
        dy = mu * p.fy(x, y, t) + (1 - mu) * p.gy(x, y, e)
        dv = (mu * np.eye(3) + (1 - mu) * p.gyy(x, y, e)) @ v - p.fy(x, y, t)
        dx = p.fx(x, y, t) - (mu * -p.D.T + (1 - mu) * p.gxy(x, y, e)) @ v
        x, y, v = x - alpha * dx, y - beta * dy, v - eta * dv
        yield x, y


def lv_hba(p, x, y, batches, *, alpha, beta, eta, c0, q, gamma1, gamma2, r, a, b):
    """With the constraint a·x + b·y ≤ 1, whose gradients are a and b."""

    def project(x, y):
        over = max(a @ x + b @ y - 1, 0) / (a @ a + b @ b)
        return x - over * a, y - over * b

    x, y = project(x, y)
    theta, lam, z = y, 0.0, 0.0
    for k, (t, e) in enumerate(batches):
        c = c0 * (k + 1) ** q
        d_theta = p.gy(x, theta, e) + lam * b + (theta - y) / gamma1
        d_lam = -(a @ x + b @ theta - 1) + (lam - z) / gamma2
        theta, lam = theta - eta * d_theta, max(lam - eta * d_lam, 0)
        dx = p.fx(x, y, t) / c + p.gx(x, y, e) - p.gx(x, theta, e) - lam * a
        dy = p.fy(x, y, t) / c + p.gy(x, y, e) - (y - theta) / gamma1
        dz = -(lam - z) / gamma2
        x, y = project(x - alpha * dx, y - alpha * dy)
        z = min(max(z - beta * dz, 0), r)
        yield x, y


def in_ball(y, center, radius):
    distance = np.linalg.norm(y - center)
    return y if distance <= radius else center + radius * (y - center) / distance


def averaged_sgd(p, x, y, e, rate, radius, steps):
    center, total = y, 0
    for _ in range(steps):
        y = in_ball(y - rate * p.gy(x, y, e), center, radius)
        total = total + y
    return total / steps


def bo_rep(
    p, x, y, batches, *, eta, alpha, beta, inverse_l, R, N, period, Q, epochs, T, refine_R, first
):
    rate, radius = alpha, refine_R
    for epoch in range(epochs):
        y = averaged_sgd(p, x, y, first, rate, radius, T * 2**epoch)
        rate, radius = rate / 2, radius / np.sqrt(2)
    m = np.zeros_like(x)
    for k, (t, e) in enumerate(batches):
        if k > 0 and k % period == 0:
            y = averaged_sgd(p, x, y, e, alpha, R, N)
        shrink = np.eye(3) - inverse_l * p.gyy(x, y, e)
        series = inverse_l * sum(np.linalg.matrix_power(shrink, q) for q in range(Q))
        h = p.fx(x, y, t) - p.gxy(x, y, e) @ series @ p.fy(x, y, t)
        m = beta * m + (1 - beta) * h
        x = x - eta * m / np.linalg.norm(m)
        yield x, y


def bsvrb(p, x, y, batches, chosen, *, eta, tau, tau_v, alpha, gamma, beta, R=None, curvature=None):
    """Blocks are the leading axis; version 2 with a radius R, version 1 with a curvature."""
    matrices = R is None
    blocks = len(y)
    v = np.stack([np.eye(3)] * blocks) if matrices else np.zeros_like(y)
    u, s, z = v.copy(), np.zeros_like(y), None
    x0, y0, v0 = x, y, v
    for (t, e), sample in zip(batches, chosen, strict=True):
        new, old = np.zeros_like(x), np.zeros_like(x)
        u = u.copy()
        for i in sample:
            b = p.of(i)
            for_i = t[i], e[i]
            s[i] = (1 - alpha) * s[i] + (alpha + gamma) * b.gy(x, y[i], e[i])
            s[i] -= gamma * b.gy(x0, y0[i], e[i])
            values = []
            for xx, yy, vv in ((x, y[i], v[i]), (x0, y0[i], v0[i])):
                fy, hessian = b.fy(xx, yy, for_i[0]), b.gyy(xx, yy, for_i[1])
                solved = np.linalg.solve(vv, fy) if matrices else vv
                residual = hessian if matrices else hessian @ vv - fy
                share = b.fx(xx, yy, for_i[0]) - b.gxy(xx, yy, for_i[1]) @ solved
                values.append((residual, share))
            u[i] = (1 - alpha) * u[i] + (alpha + gamma) * values[0][0] - gamma * values[1][0]
            new, old = new + values[0][1] / len(sample), old + values[1][1] / len(sample)
        z = new if z is None else (1 - beta) * (z - old) + new
        x0, y0, v0 = x, y, v
        x, y = x - eta * z, y - tau * s
        if matrices:
            u = np.stack([raised(h, curvature) for h in u])
            v = u
        else:
            v = np.stack([in_ball(w, 0, R) for w in v - tau_v * u])
        yield x, y


def raised(h, least):
    values, vectors = np.linalg.eigh((h + h.T) / 2)
    return vectors @ np.diag(np.maximum(values, least)) @ vectors.T


def train_then_differentiate(p, x, y, batches, *, eta, gamma, T, warm, kind, rate=0, terms=0, d=0):
    """Both optimizers are gradient descent; kinds as in the package."""
    first = y
    for t, e in batches:
        y = y if warm else first
        moved = np.zeros((3, 2))  # the derivative of y by x
        for _ in range(T):
            moved = moved - gamma * (p.gyy(x, y, e) @ moved + p.gxy(x, y, e).T)
            y = y - gamma * p.gy(x, y, e)
        fy, damped = p.fy(x, y, t), p.gyy(x, y, e) + d * np.eye(3)
        if kind == "unrolled":
            h = p.fx(x, y, t) + moved.T @ fy
        elif kind == "implicit":
            h = p.fx(x, y, t) - p.gxy(x, y, e) @ np.linalg.solve(damped, fy)
        else:
            shrink = np.eye(3) - rate * damped
            series = rate * sum(np.linalg.matrix_power(shrink, q) for q in range(terms))
            h = p.fx(x, y, t) - p.gxy(x, y, e) @ series @ fy
        x = x - eta * h
        yield x, y


def best_response_hypernetwork(p, x, y, batches, draws, *, eta, gamma, scale, local):
    """The map is y0 + Wx; draws are standard normal, one vector for each step and sample."""
    base, W, first = y, np.zeros((3, 2)), x
    for (t, e), noise in zip(batches, draws, strict=True):
        center = x if local else first
        points = [center + scale * n for n in noise]
        slopes = [p.gy(w, base + W @ w, e) for w in points]
        d_W = np.mean([np.outer(g, w) for g, w in zip(slopes, points, strict=True)], axis=0)
        base, W = base - gamma * np.mean(slopes, axis=0), W - gamma * d_W
        answer = base + W @ x
        x = x - eta * (p.fx(x, answer, t) + W.T @ p.fy(x, answer, t))
        yield x, base + W @ x
