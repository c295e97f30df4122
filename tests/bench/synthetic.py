"""Studies made of formulas, so that every statistic of a report has a known answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gradlab.bench.results import (
    PIECES,
    UNTUNED,
    GroupCost,
    ProblemInfo,
    Results,
    Timing,
    Trajectory,
    Trial,
)

PROBLEMS = {
    "digits_logistic": ("Digits, logistic regression", 0.16, 300, 650, 0.11),
    "digits_mlp": ("Digits, two-layer perceptron", 0.15, 400, 4810, 0.09),
    "char_transformer": ("Python source, character transformer", 2.18, 300, 52_000, 1.9),
}
"""Title, target, horizon, parameters and the best value that anything reaches."""

OPTIMIZERS = {
    # best learning rate, excess at the best rate, speed, width of its valley, gradients, bytes
    "sgd": (0.3, 0.05, 1.0, 0.5, 1, 4.0),
    "adamw": (3e-3, 0.02, 1.6, 0.9, 1, 8.0),
    "lion": (3e-4, 0.03, 1.5, 0.6, 1, 4.0),
    "ademamix": (3e-3, 0.018, 1.55, 0.9, 1, 12.0),
    "adopt": (3e-3, 0.021, 1.6, 1.0, 1, 8.0),
    "muon": (2e-2, 0.0, 2.6, 1.2, 1, 4.0),
    "sam": (3e-3, 0.012, 1.6, 0.8, 2, 8.0),
}


def trial(
    finals,
    *,
    problem="p",
    optimizer="a",
    rate_index=0,
    learning_rate=0.1,
    seed=0,
    tuned=True,
    steps=None,
    status="complete",
):
    """A trial whose metric is `finals`, evaluated at `steps` (by default every 10 steps)."""
    values = np.asarray(finals, dtype=np.float64)
    steps = np.arange(values.size) * 10 if steps is None else np.asarray(steps)
    return Trial(
        problem=problem,
        optimizer=optimizer,
        rate_index=rate_index,
        learning_rate=learning_rate,
        seed=seed,
        tuned=tuned,
        status=status,
        steps=steps.astype(np.int64),
        values=values,
        train_steps=np.arange(1, 4),
        train_losses=np.ones(3),
        diverged_at=3 if status == "diverged" else None,
    )


def sweep_of(
    curves, *, optimizer="a", problem="p", default=None, first_rate=0.01
) -> tuple[Trial, ...]:
    """Trials from `curves[rate][seed]`, rates a factor 10 apart, and a default like `default`."""
    trials = [
        trial(
            curve,
            problem=problem,
            optimizer=optimizer,
            rate_index=index,
            learning_rate=first_rate * 10.0**index,
            seed=seed,
            status="complete" if np.all(np.isfinite(curve)) else "diverged",
        )
        for index, seeds in enumerate(curves)
        for seed, curve in enumerate(seeds)
    ]
    for seed, curve in enumerate(curves[0] if default is None else default):
        trials.append(
            trial(
                curve,
                problem=problem,
                optimizer=optimizer,
                rate_index=UNTUNED,
                learning_rate=first_rate,
                seed=seed,
                tuned=False,
            )
        )
    return tuple(trials)


def problem(name="p", target=0.5, horizon=40) -> ProblemInfo:
    """A problem with a target that is reached by the metric falling to it."""
    return ProblemInfo(name, name.title(), "loss", "", target, "by hand", horizon, 8, "flat", 10)


def timings_of(problem, optimizer, seconds=0.002) -> tuple[Timing, ...]:
    """Five timed pieces; step and data together take `seconds`."""
    medians = {"trace": 0.2, "compile": 0.5, "data": seconds / 4, "step": seconds * 3 / 4}
    medians["evaluation"] = 0.01
    return tuple(
        Timing(
            problem,
            optimizer,
            piece,
            medians[piece],
            medians[piece] * 0.9,
            medians[piece] * 1.1,
            30,
        )
        for piece in PIECES
    )


def cost_of(problem, optimizer, gradients=1, state_bytes=8.0, parameters=10) -> GroupCost:
    """One group's cost."""
    return GroupCost(
        problem,
        optimizer,
        "g",
        24,
        3.5,
        1.2,
        2**20,
        "program analysis",
        state_bytes,
        parameters,
        gradients,
    )


ENVIRONMENT = {
    "python": "3.11.9",
    "platform": "Linux x86_64",
    "cpu": "an example processor",
    "cores": 2,
    "memory": "8 GiB",
    "device": "cpu",
    "jax": "0.10.2",
    "jaxlib": "0.10.2",
    "optax": "0.2.8",
    "flax": "0.12.8",
    "numpy": "2.4.6",
    "gradlab": "0.1.0",
    "precision": "float32",
    "xla_flags": "",
    "git_revision": None,
    "started": "2026-01-01T12:00:00",
    "finished": "2026-01-01T12:01:52",
}


def results_of(trials, *, problems=None, optimizers=("a", "b"), baseline="a", **more) -> Results:
    """A small study of the given trials, timed and costed."""
    problems = (problem(),) if problems is None else tuple(problems)
    pairs = [(p.name, o) for p in problems for o in optimizers]
    return Results(
        name="small",
        config=more.get("config", {"name": "small", "seeds": [0, 1, 2]}),
        config_hash="0123456789abcdef",
        directory=Path("small"),
        baseline=baseline,
        problems=problems,
        optimizers=tuple(optimizers),
        trials=tuple(trials),
        timings=more.get("timings", tuple(t for pair in pairs for t in timings_of(*pair))),
        costs=more.get("costs", tuple(cost_of(*pair) for pair in pairs)),
        environment=more.get("environment", ENVIRONMENT),
        command="gradlab bench small",
        incomplete=more.get("incomplete", ()),
    )


def realistic(seed: int = 0, seeds: int = 3, rates: int = 7) -> Results:
    """A study of seven optimizers on three problems with curves as training makes them."""
    random = np.random.default_rng(seed)
    trials, timings, costs = [], [], []
    for name, info in PROBLEMS.items():
        for label, traits in OPTIMIZERS.items():
            trials += _trials(random, name, info, label, traits, seeds, rates)
            slow = {"sam": 2.0, "muon": 1.7}.get(label, 1.0) * (1 + info[3] / 20_000)
            timings += timings_of(name, label, seconds=4e-4 * slow)
            costs.append(cost_of(name, label, traits[4], traits[5], info[3]))
    return Results(
        name="synthetic",
        config={
            "name": "synthetic",
            "baseline": "adamw",
            "seeds": [0, 1, 2],
            "optimizers": [{"label": label} for label in OPTIMIZERS],
        },
        config_hash="b5d4045c3f466fa91fe2cc6abe79232a1a57cdf104f7a26e716e0a1e2789df78",
        directory=Path("studies/synthetic"),
        baseline="adamw",
        problems=tuple(_info(name, *info) for name, info in PROBLEMS.items()),
        optimizers=tuple(OPTIMIZERS),
        trials=tuple(trials),
        timings=tuple(timings),
        costs=tuple(costs),
        environment=ENVIRONMENT,
        trajectories=_paths(),
        command="gradlab bench synthetic",
    )


def _info(name, title, target, horizon, parameters, _) -> ProblemInfo:
    origin = "median over five seeds of AdamW at its best of 20 rates, run before the study"
    return ProblemInfo(
        name,
        title,
        "validation loss",
        "nats",
        target,
        origin,
        horizon,
        64,
        "linear warm-up over 5 %, cosine to zero",
        parameters,
    )


def _trials(random, name, info, label, traits, seeds, rates):
    grid = traits[0] * 10 ** (0.5 * (np.arange(rates) - rates // 2))
    if label == "lion" and name == "digits_mlp":
        grid = grid / 30  # its best rate falls on the edge
    for index, rate in [(UNTUNED, traits[0] * 0.4), *enumerate(grid)]:
        for seed in range(seeds):
            yield _train(random, name, info, label, traits, index, float(rate), seed)


def _train(random, name, info, label, traits, index, rate, seed):
    _, _, horizon, _, floor = info
    best, excess, speed, width, _, _ = traits
    off = np.log10(rate / best)
    start = 2.4 if "digits" in name else 4.5
    steps = np.arange(0, horizon + 1, 10)
    penalty = (off / width) ** 2 * (0.12 if off < 0 else 0.3)
    pace = 5 * speed * np.exp(-0.8 * max(-off, 0)) / horizon
    end = floor * (1 + excess + penalty + random.normal(0, 0.006))
    values = end + (start - end) * np.exp(-pace * steps) / (1 + 2 * pace * steps)
    values = values * (1 + random.normal(0, 0.004, steps.size) * (steps < horizon))
    values[0] = start
    train_steps = np.arange(1, horizon + 1)
    losses = np.interp(train_steps, steps, values) * (1 + random.normal(0, 0.05, horizon))
    diverged = off > width + 0.3
    if diverged:
        values[3:] = np.nan
        losses[25:] = np.nan
    return Trial(
        problem=name, optimizer=label, rate_index=index, learning_rate=rate, seed=seed,
        tuned=index != UNTUNED, status="diverged" if diverged else "complete", group="g",
        steps=steps, values=values, train_steps=train_steps, train_losses=losses,
        diverged_at=26 if diverged else None,
    )  # fmt: skip


def _paths() -> tuple[Trajectory, ...]:
    paths = []
    for landscape, start, end in (
        ("rosenbrock", (-1.5, 2.0), (1.0, 1.0)),
        ("beale", (1.0, 1.5), (3.0, 0.5)),
    ):
        for order, label in enumerate(OPTIMIZERS):
            t = np.linspace(0, 1, 60)[:, None]
            bend = np.array([0.3, -0.9]) * (1 + 0.15 * order) * np.sin(np.pi * t)
            points = np.array(start) * (1 - t) + np.array(end) * t + bend
            paths.append(Trajectory(landscape, label, 0.01, points, np.linspace(9, 0.01, 60)))
    return tuple(paths)


def flat(value, seeds=3, jitter=0.01):
    """Curves over three evaluations that end at `value`, with a known spread over seeds."""
    return [[1.0, 0.9, value + jitter * (seed - 1)] for seed in range(seeds)]


def valley(*values, seeds=3, jitter=0.01):
    """A sweep with one final value for each rate."""
    return [flat(value, seeds, jitter) for value in values]


def study(a, b, seeds=3, jitter=0.01, **more):
    """Two optimizers with a three-rate sweep each, the best rate in the middle."""
    trials = (
        *sweep_of(valley(0.8, a, 0.8, seeds=seeds, jitter=jitter), optimizer="a"),
        *sweep_of(valley(0.8, b, 0.8, seeds=seeds, jitter=jitter), optimizer="b"),
    )
    return results_of(trials, **more)
