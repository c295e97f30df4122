"""Steps of methods for bilevel problems, by programs of their authors and of a benchmark."""

from __future__ import annotations

import contextlib
import importlib
import io
import runpy
import sys
import tempfile
import time
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest import mock

import higher
import jax
import jax.numpy as jnp
import numpy as np
import torch

from . import problems
from .case import Arrays, Case
from .checkouts import Checkout

jax.config.update("jax_enable_x64", True)

CHECKOUTS = {
    "f2sa": Checkout(
        "https://github.com/benchopt/benchmark_bilevel",
        "3ad65dccff5cce27a656630a4f98be52920850b4",
        "solvers/f2sa.py",
        "2c8cd6fce6de3776f1fd03ea03c4ef17af7df76f322b92288309b4e4ea9bd223",
    ),
    "lv_hba": Checkout(
        "https://github.com/SUSTech-Optimization/LV-HBA",
        "6a55cb348b5de65c9fc439ce483605b5cadd1ab0",
        "Toy-example/LLSC/LV-HBA.py",
        "34b7926fdac6a64c0e41668011bdb746ab047980090bfbcdcb71f56f7046770d",
    ),
    "sl_bamm": Checkout(
        "https://github.com/vis-opt-group/sl-BAMM",
        "29119b167c5eb150c8351bff951cec769540a719",
        "merely_convex/strategy3.py",
        "b2b9b24269d040bdfaf59a410dc378aa7fc45874d7ec7697f79c512b4a94967c",
    ),
    "bsvrb": Checkout(
        "https://github.com/quanqihu/BSVRB_ICML2023",
        "a4ed3111bb428e31da359bec4a402fdfc102e5c7",
        "Hyperparameter_Optimization/HO/main.py",
        "44518bede665727e037da38466927c66685f28efb4050ddf2e80887f5111bc62",
    ),
}
STEPS = 24
TEXT = (
    "outer(x, y) = |y - target - D @ x|**2 / 2 + 0.1 * |x|**2 and inner(x, y) = (y - B @ x - "
    "offset) @ A @ (y - B @ x - offset) / 2 + sum(log(cosh(y - E @ x))), random (seed {seed}). "
    "Both begin at x[0] and y[0]; x[k] and y[k] are the variables after k steps."
)
BLOCKS = (
    "Two blocks i with outer = mean((z @ y[i] - labels - i)**2) / 2 over the rows valid[k, i], "
    "where z is a one and the features, and inner = mean(sigmoid(x) * (z @ y[i] - train_labels - "
    "i)**2) / 2 + |y[i]|**2 / 4 over the rows train[k, i] (of x, too), random (seed {seed}). x[k] "
    "and y[k] are the variables after k steps."
)
MERELY_CONVEX = (
    "outer(x, y) = |x - y[1]|**2 / 2 + |y[0] - 1|**2 / 2 and inner(x, y) = |y[0]|**2 / 2 - x @ "
    "y[0]. x[k] and y[k] are the variables after k steps, and steps[k] is the step of the "
    "multipliers at the next one."
)


def _data() -> Arrays:
    rng = np.random.default_rng([problems.SEED, 63])
    root = rng.standard_normal((3, 3)) / 3
    shapes = {"B": (3, 2), "D": (3, 2), "E": (3, 2), "target": (3,), "offset": (3,)}
    drawn = {name: problems.short(rng.standard_normal(s) / 2) for name, s in shapes.items()}
    start = {"start_x": rng.standard_normal(2), "start_y": rng.standard_normal(3)}
    return {"A": root @ root.T + 0.5 * np.eye(3), **drawn, **start}


def _objectives(p: Any, xp: Any) -> tuple[Any, Any]:
    def outer(x: Any, y: Any) -> Any:
        off = y - p["target"] - p["D"] @ x
        return off @ off / 2 + 0.1 * (x @ x)

    def inner(x: Any, y: Any) -> Any:
        off = y - p["B"] @ x - p["offset"]
        return off @ p["A"] @ off / 2 + xp.sum(xp.log(xp.cosh(y - p["E"] @ x)))

    return outer, inner


def _finish(given: Arrays, x: list, y: list, **more: Any) -> tuple[str, Arrays]:
    x, y = [given.pop("start_x"), *x], [given.pop("start_y"), *y]
    rows = {"x": np.stack(x), "y": np.stack(y)}
    return TEXT.format(seed=problems.SEED), given | rows | more


def _f2sa(root: Path, settings: dict[str, Any]) -> tuple[str, Arrays]:
    given = _data()
    outer, inner = _objectives({k: jnp.asarray(v) for k, v in given.items()}, jnp)
    names = {"jax": jax, "jnp": jnp, "partial": partial}
    loop = CHECKOUTS["f2sa"].definition(root, "inner_f2sa_jax", **names)

    def update_lr(state: Any) -> tuple[Any, Any]:
        return state, state

    made = CHECKOUTS["f2sa"].definition(
        root,
        "Solver",
        **names,
        inner_f2sa_jax=loop,
        update_lr=update_lr,
        init_lr_scheduler=None,
        StochasticJaxSolver=type("StochasticJaxSolver", (), {"parameters": {}}),
    )()
    made.f_inner, made.f_outer = (lambda y, x, _: inner(x, y)), (lambda y, x, _: outer(x, y))
    made.n_inner_steps = settings["inner_steps"]

    def sampler(state: Any) -> tuple[Any, Any]:
        return state, state

    step = jax.jit(made.get_step(sampler, sampler))
    rates = ("penalized_learning_rate", "inner_learning_rate", "learning_rate", "penalty_growth")
    carry: dict[str, Any] = {
        "inner_var": jnp.asarray(given["start_y"]),
        "inner_approx_star": jnp.asarray(given["start_y"]),
        "outer_var": jnp.asarray(given["start_x"]),
        "lmbda": jnp.asarray(settings["penalty"]),
        "state_lr": jnp.asarray([settings[name] for name in rates]),
        "state_inner_sampler": jnp.zeros([]),
        "state_outer_sampler": jnp.zeros([]),
    }
    x, y = [], []
    for _ in range(STEPS):
        carry, _ = step(carry, None)
        x, y = [*x, np.asarray(carry["outer_var"])], [*y, np.asarray(carry["inner_var"])]
    return _finish(given, x, y)


def _lv_hba(root: Path, settings: dict[str, Any]) -> tuple[str, Arrays]:
    """The program has 100 variables in each level and 90 constraints; most are nothing here."""
    given = _data()
    start = {k: torch.zeros(100, dtype=torch.float64) for k in ("x", "y")}
    start["x"][:2] = torch.tensor(given["start_x"])
    start["y"][:3] = torch.tensor(given["start_y"])
    p = {name: torch.tensor(value) for name, value in given.items()}
    outer, inner = _objectives(p, torch)
    first = [p[name].clone().requires_grad_(True) for name in ("start_x", "start_y")]
    (slope,) = torch.autograd.grad(inner(*first), first[1:])
    # At the start the constraint holds just so, and descent of the inner objective breaks it.
    a, b = np.array([0.5, -0.25]), problems.short(-slope.numpy())
    level = a @ given["start_x"] + b @ given["start_y"]
    rows = {name: torch.zeros(90, 100, dtype=torch.float64) for name in "AH"}
    rows["A"][0, :3], rows["H"][0, :2] = torch.tensor(b), torch.tensor(a)
    right = torch.zeros(90, dtype=torch.float64)
    right[0] = level
    seen: dict[str, list] = {"x": [], "y": [], "theta": []}
    calls = iter(("x", "y", "y"))

    def proj(v: torch.Tensor, matrix: torch.Tensor, b: torch.Tensor | None = None) -> Any:
        """The first three calls are for starting points; then theta is free, the pair is not."""
        first = next(calls, None)
        if first is not None:
            return start[first] + 0 * (v if b is None else b.sum())
        if b is not None:
            seen["theta"].append(v.detach().numpy()[:3].copy())
            return v
        normal = torch.cat([rows["H"][0], rows["A"][0]])
        v = v - torch.clamp(normal @ v - level, min=0) / (normal @ normal) * normal
        seen["x"].append(v.numpy()[:2].copy())
        seen["y"].append(v.numpy()[100:103].copy())
        return v

    names: dict[str, Any] = {
        "np": np,
        "torch": torch,
        "time": time,
        "proj": proj,
        "F": lambda x, y: outer(x[:2], y[:3]),
        "f": lambda x, y: inner(x[:2], y[:3]),
        "g": lambda x, y: rows["A"] @ y + rows["H"] @ x - right,
        "B": torch.zeros(90, 100, dtype=torch.float64),
        "c": torch.zeros(100, dtype=torch.float64),
        "d": torch.zeros(100, dtype=torch.float64),
        **rows,
    }
    for name in ("F_x", "F_y", "f_x", "f_y", "g_x", "g_y"):
        names[name] = CHECKOUTS["lv_hba"].definition(root, name, **names)
    rates = ("learning_rate", "anchor_learning_rate", "saddle_learning_rate")
    near = {"gamma1": settings["proximity"], "gamma2": settings["multiplier_proximity"]}
    run = CHECKOUTS["lv_hba"].definition(root, "fun", **names)
    run(STEPS, *(settings[name] for name in rates), **near)
    more = {"theta": np.stack(seen["theta"]), "a": a, "b": b, "level": np.array(level)}
    return _finish(given, seen["x"], seen["y"], **more)


def _sl_bamm(root: Path, settings: dict[str, Any]) -> tuple[str, Arrays]:
    """The program as it is: on the CPU, in double precision, and with nothing written."""
    seen: dict[str, list] = {"x": [], "y": [], "steps": []}
    CHECKOUTS["sl_bamm"].definition(root, "loss_L2")  # which looks at the bytes of the file
    folder = (root / "sl-BAMM").resolve()

    def outer_gradients(loss: torch.Tensor, params: list, hyper: list) -> tuple:
        seen["x"].append(np.concatenate([p.detach().numpy().copy() for p in hyper]))
        seen["y"].append(np.stack([p.detach().numpy().copy() for p in params]))
        return original(loss, params, hyper)

    def product(first: list, second: list, trans: int = 0) -> torch.Tensor:
        found = sum(torch.sum(a * b) for a, b in zip(first, second, strict=True))
        length = sum(torch.norm(a) for a in first) ** 2
        seen["steps"].append(float(length / (found + 1e-12)))
        return found

    starts = iter([torch.tensor([0.5, -1.0]), torch.tensor([0.25, 0.75])])

    def number(value: Any) -> Any:
        """The program begins with 0.01 in x and y, where the slope of its norm is no number."""
        return next(starts).to(torch.float64) if value == 0.01 else float(value)

    patch, rates = mock.patch.object, {"x": "learning_rate", "y": "inner_learning_rate"}
    argv = ["strategy3.py", "--hg_mode", "BAMM_CG", "--BDA", "--tSize", "2"]
    argv += ["--x_loop", str(STEPS + 1), "--alpha", str(settings["averaging"])]
    argv += [word for k, name in rates.items() for word in (f"--{k}_lr", str(settings[name]))]
    monkeypatch = higher.monkeypatch
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
        stack.enter_context(contextlib.chdir(stack.enter_context(tempfile.TemporaryDirectory())))
        stack.enter_context(patch(sys, "path", [str(folder), *sys.path]))
        stack.enter_context(patch(sys, "argv", argv))
        hypergradients = importlib.import_module("hypergrad.hypergradients")
        original = hypergradients.get_outer_gradients
        stack.enter_context(patch(hypergradients, "get_outer_gradients", outer_gradients))
        stack.enter_context(patch(hypergradients, "list_tensor_matmul", product))
        stack.enter_context(patch(torch.Tensor, "cuda", lambda self: self))
        stack.enter_context(patch(torch.cuda, "max_memory_allocated", lambda: 0))
        stack.enter_context(
            patch(higher, "monkeypatch", lambda y, _, **k: monkeypatch(y, torch.device("cpu"), **k))
        )
        stack.callback(torch.set_default_dtype, torch.get_default_dtype())
        torch.set_default_dtype(torch.float64)
        runpy.run_path(str(folder / CHECKOUTS["sl_bamm"].file), {"float": number})
    found = {name: np.stack(rows) for name, rows in seen.items()}
    return MERELY_CONVEX, found | {"steps": found["steps"][:-1]}


class _NumPy(ModuleType):
    """NumPy with other random numbers."""

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)


def _bsvrb(root: Path, settings: dict[str, Any]) -> tuple[str, Arrays]:
    rng = np.random.default_rng([problems.SEED, 64])
    shapes = {"train_features": (8, 2), "train_labels": 8, "features": (8, 2), "labels": 8}
    data = {name: problems.short(rng.standard_normal(shape)) for name, shape in shapes.items()}
    start = {(8,): rng.standard_normal(8), (2, 3): rng.standard_normal((2, 3))}
    seen: dict[str, list] = {"x": [], "y": []}
    rows: dict[str, np.ndarray] = {k: np.zeros((STEPS, 2, 2), np.int8) for k in ("train", "valid")}

    def linear(features: np.ndarray, labels: np.ndarray, w: np.ndarray, task: int, at: Any) -> Any:
        z = np.concatenate([np.ones((len(at), 1)), features[at]], axis=1)
        return z, z @ w[task] - labels[at] - task

    def weight(p: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-p))

    def grad_y_g(
        p: Any, w: Any, features: Any, labels: Any, lamb: float, task: int, at: Any
    ) -> Any:
        z, error = linear(features, labels, w, task, at)
        return z.T @ (weight(p[at]) * error) / len(at) + lamb * w[task]

    def hess_xy_g(p: Any, w: Any, features: Any, labels: Any, task: int, at: Any) -> np.ndarray:
        z, error = linear(features, labels, w, task, at)
        found = np.zeros((8, 1, 3))
        share = weight(p[at])
        found[at, 0] = (share * (1 - share) * error)[:, None] * z / len(at)
        return found

    def grad_v_gamma(
        p: Any, w: Any, v: Any, features: Any, labels: Any, features_f: Any, labels_f: Any,
        lamb: float, task: int, at: Any, at_f: Any,
    ) -> np.ndarray:  # fmt: skip
        if len(seen["x"]) <= STEPS:
            now = len(seen["x"]) - 1, task
            rows["train"][now], rows["valid"][now] = at, at_f
        z, _ = linear(features, labels, w, task, at)
        product = z.T @ (weight(p[at]) * (z @ v[task])) / len(at) + lamb * v[task]
        z, error = linear(features_f, labels_f, w, task, at_f)
        return product - z.T @ error / len(at_f)

    def record(p: Any, w: Any, *_: Any) -> float:
        seen["x"].append(p.copy())
        seen["y"].append(w.copy())
        return 0.0

    def rand(*shape: int) -> np.ndarray:
        """p_0, w_0, v_0, H_0, then the same again, then s, u, H and z."""
        drawn.append(shape)
        first = {(8,): (1, 5), (2, 3): (2, 6)}.get(shape, ())
        return (start[shape] if len(drawn) in first else np.zeros(shape)).copy()

    drawn: list[tuple[int, ...]] = []
    given = _NumPy("numpy")
    given.random = SimpleNamespace(rand=rand, shuffle=rng.shuffle)
    more = {"total_epoch": 13, "task_num": 2, "data_batch_size": 2, "task_batch_size": 2}
    args = SimpleNamespace(
        method="BSVRBv2",
        eta=settings["learning_rate"],
        tau=settings["inner_learning_rate"],
        tau_v=settings["multiplier_learning_rate"],
        alpha=settings["block_rate"],
        gamma=settings["block_correction"],
        beta=settings["outer_rate"],
        v_bound=settings["radius"],
        **{"lamb": 0.5, "SEED": 0, "stag_decay": False, "eva_per": 1, "dataset": "", **more},
    )
    run = CHECKOUTS["bsvrb"].definition(
        root,
        "BSVRB",
        np=given,
        args=args,
        dt=datetime,
        td=timedelta,
        set_all_seeds=lambda seed: None,
        Datasets=lambda _: (*data.values(), None, None, 8, 8),
        f_evaluation=lambda *_: 0.0,
        g_evaluation=record,
        g_evaluation_noReg=lambda *_: 0.0,
        grad_y_g=grad_y_g,
        hess_xy_g=hess_xy_g,
        grad_v_gamma=grad_v_gamma,
    )
    with contextlib.redirect_stdout(io.StringIO()):
        run()
    assert drawn[:3] == [(8,), (2, 3), (2, 3)]
    assert drawn[4:7] == [(8,), (2, 3), (2, 3)]
    found = {name: np.stack(values[: STEPS + 1]) for name, values in seen.items()}
    return BLOCKS.format(seed=problems.SEED), data | rows | found


def authors_cases(root: Path) -> list[Case]:
    f2sa = {
        "learning_rate": 0.05,
        "inner_learning_rate": 0.2,
        "penalized_learning_rate": 0.04,
        "penalty": 1.5,
        "penalty_growth": 0.05,
        "inner_steps": 3,
    }
    lv_hba = {
        "learning_rate": 0.1,
        "saddle_learning_rate": 0.2,
        "anchor_learning_rate": 0.3,
        "proximity": 2.0,
        "multiplier_proximity": 3.0,
    }
    bsvrb = {
        "learning_rate": 3.0,
        "inner_learning_rate": 0.2,
        "multiplier_learning_rate": 0.15,
        "block_rate": 0.6,
        "block_correction": 0.7,
        "outer_rate": 0.4,
        "radius": 1.0,
    }
    sl_bamm = {
        "learning_rate": 0.1,
        "inner_learning_rate": 0.2,
        "averaging": 0.3,
        "averaging_decay": 0.0,
    }
    return [
        Case(
            "sl-BAMM",
            "sl_bamm",
            "merely_convex/strategy3.py",
            sl_bamm,
            partial(_sl_bamm, root, sl_bamm),
            notes=(
                "The step of the multipliers is searched along the residual; it is stored. The "
                "share of the outer objective stays what it is at first, although the program "
                "means it to decay: it is the default of an argument.",
                "It begins elsewhere than at its own point, where its derivatives are no numbers.",
            ),
            checkout="sl_bamm",
        ),
        Case(
            "benchmark_bilevel",
            "f2sa",
            "solvers.f2sa.Solver",
            f2sa,
            partial(_f2sa, root, f2sa),
            notes=("Step sizes are kept; the package has them shrink.",),
            checkout="f2sa",
        ),
        Case(
            "LV-HBA",
            "lv_hba",
            "Toy-example/LLSC/LV-HBA.py: fun",
            lv_hba,
            partial(_lv_hba, root, lv_hba),
            notes=(
                "The constraint is a @ x + b @ y <= level. The program has equations there, and so "
                "no bounds on multipliers; this one stays above zero.",
            ),
            checkout="lv_hba",
        ),
        Case(
            "BSVRB",
            "bsvrb",
            "Hyperparameter_Optimization/HO/main.py: BSVRB",
            bsvrb,
            partial(_bsvrb, root, bsvrb),
            notes=(
                "All blocks are sampled, so that none has steps to make up for.",
                "Of a product with the mixed derivative the program takes the first number for all "
                "of them; the matrices that it is given have an axis more, which makes that the "
                "whole vector. Its own Hessian, which is not called here, has a minus too many.",
            ),
            checkout="bsvrb",
        ),
    ]
