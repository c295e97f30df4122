"""Curves of the relatives of SAM, on the logistic loss whose data are stored with them."""

from __future__ import annotations

import contextlib
import copy
import io
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytorch_optimizer
import torch
from torch.distributed import ReduceOp

from . import problems
from .case import Arrays, Case
from .checkouts import Checkout

STEPS = 60
INNER = {"learning_rate": 0.5, "momentum": 0.9}
SGD = {"lr": 0.5, "momentum": 0.9}
KEY = 3

CHECKOUTS = {
    "ASAM": Checkout(
        "https://github.com/SamsungLabs/ASAM",
        "f156a680171db16d551c0d85cba2514fa3bff6a2",
        "asam.py",
        "c536c188f5a89ef14e1b6452945adadad399f26db39729ca44c44d03399df694",
    ),
    "F-SAM": Checkout(
        "https://github.com/nblt/F-SAM",
        "2e2f9899ab473880430640fa5def4ad8f5aa2401",
        "utils.py",
        "4b679112cc2b0a8ff6e1ec49b9c24dbe0bcdd777dc51707b9cfb6b926db2284c",
    ),
    "GSAM": Checkout(
        "https://github.com/juntang-zhuang/GSAM",
        "a770275b3324a3ed4bf4a1cddb976b2782ba852b",
        "gsam/gsam.py",
        "1475e9fb3ec390b5a15298944e92604a75d407f912ae4c421dd8ebb0cc40fca6",
    ),
    "MSAM": Checkout(
        "https://github.com/MarlonBecker/MSAM",
        "780fa4f623fe0c99760fd7cfb1a94d14f00179ee",
        "optimizer/msam.py",
        "c43214bbc07f97195280de322420a9551cb02ca7f4008f29a05527a8ce1eac2b",
    ),
    "MSAM-LookSAM": Checkout(
        "https://github.com/MarlonBecker/MSAM",
        "780fa4f623fe0c99760fd7cfb1a94d14f00179ee",
        "optimizer/looksam.py",
        "f1b14c8f03fffe7e6d4774e0dff7f1d2a2a8ca1bbe33c7d444ffa39cdc0144e1",
    ),
    "bayesian-sam": Checkout(
        "https://github.com/team-approx-bayes/bayesian-sam",
        "936eec17f5f560d032f924c3c1c79763edc3d30d",
        "optim.py",
        "56a11650c5e0ae752cae973182c62f49d40b56a75531f85e88aca608315efb77",
    ),
}


class Logistic(torch.nn.Module):
    """The loss as a model of its one parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor(problems.initial_params((6,))))
        self.features, self.labels = (torch.tensor(a) for a in problems.logistic_data())

    def forward(self) -> torch.Tensor:
        p, margins = self.weight, self.labels * (self.features @ self.weight)
        return 0.05 * (p @ p) - torch.nn.functional.logsigmoid(margins).mean()

    def backward(self) -> tuple[None, torch.Tensor]:
        """The gradient anew; what it returns is what GSAM expects."""
        self.zero_grad()
        with torch.enable_grad():
            loss = self()
            loss.backward()
        return None, loss


Make = Callable[[Logistic], Any]
Advance = Callable[[Any, Logistic], Any]


def _whole(optimizer: Any, model: Logistic) -> None:
    """A step that takes all of its gradients itself."""
    optimizer.step(model.backward)


def _second(optimizer: Any, model: Logistic) -> None:
    """A step that wants the first gradient taken."""
    model.backward()
    optimizer.step(model.backward)


def _train(make: Make, advance: Advance) -> tuple[str, Arrays]:
    model = Logistic()
    optimizer, p = make(model), model.weight
    rows: dict[str, list[np.ndarray]] = {"gradients": [], "updates": []}
    for _ in range(STEPS):
        model.backward()
        assert p.grad is not None
        rows["gradients"].append(p.grad.detach().clone().numpy())
        model.zero_grad()
        before = p.detach().clone()
        # pytorch_optimizer rounds norms to float32; a copy takes the place of that cast.
        with mock.patch.object(torch.Tensor, "float", torch.Tensor.clone):
            advance(optimizer, model)
        rows["updates"].append((p.detach() - before).numpy())
    return _stored({name: np.stack(values) for name, values in rows.items()})


def _stored(rows: Arrays) -> tuple[str, Arrays]:
    features, labels = problems.logistic_data()
    data = {"features": features, "labels": labels, "params": problems.initial_params((6,))}
    return problems.LOGISTIC.format(seed=problems.SEED), data | rows


def _wrapped(function: Callable, **settings: Any) -> Make:
    return lambda model: function([model.weight], torch.optim.SGD, **settings, **SGD)


def _with_model(function: Callable, **settings: Any) -> Make:
    return lambda model: function(model, [model.weight], torch.optim.SGD, **settings, **SGD)


def _gsam(function: Callable, rho: float, **settings: Any) -> Make:
    def make(model: Logistic) -> Any:
        inner, radius = torch.optim.SGD([model.weight], **SGD), SimpleNamespace(step=lambda: rho)
        return function([model.weight], inner, model, rho_scheduler=radius, **settings)

    return make


CAST = (
    "Where the package adds a small number to a norm it is set to zero. It rounds norms to "
    "float32; a copy takes the place of the cast."
)
LATE = (
    "The average starts at the first gradient, and the step that makes it goes along that "
    "gradient.",
    "The average is subtracted before it takes in the present gradient, which for sigma = 1 is "
    "the same direction.",
)
FRIENDLY = {"rho": 0.1, "sigma": 1.0, "b1": 0.7}
LOOK = {"rho": 1.0, "alpha": 0.5, "period": 3}
GSAM = {"rho": 0.1, "alpha": 0.4}
WSAM = {"rho": 0.1, "gamma": 0.7}
BSAM = {"data_size": 50.0, "rho": 0.1, "b1": 0.8, "b2": 0.9, "prior": 0.01, "damping": 0.2}


def cases() -> list[Case]:
    po, make = pytorch_optimizer, partial(Case, "pytorch_optimizer", rtol=1e-9, atol=1e-10)

    def case(method: str, function: Callable, settings: dict, run: Make, advance: Advance, **more):
        name = f"pytorch_optimizer.{function.__name__}"
        train, more = partial(_train, run, advance), {"notes": (CAST,), **more}
        return make(method, name, {**INNER, **settings}, train, **more)

    look = {"rho": LOOK["rho"], "k": LOOK["period"], "alpha": LOOK["alpha"], "perturb_eps": 0.0}
    friendly = {"rho": 0.1, "sigma": 1.0, "lmbda": 0.7, "perturb_eps": 0.0}
    adaptive = _wrapped(po.SAM, rho=0.1, adaptive=True, perturb_eps=0.0)
    decoupled = {**WSAM, "sharpness_rate": INNER["learning_rate"]}
    return [
        case("asam", po.SAM, {"rho": 0.1, "eps": 0.0}, adaptive, _second),
        case("gsam", po.GSAM, GSAM, _gsam(po.GSAM, **GSAM, perturb_eps=0.0), _whole),
        case("wsam", po.WSAM, decoupled, _with_model(po.WSAM, **WSAM, eps=0.0), _whole),
        case(
            "wsam",
            po.WSAM,
            WSAM,
            _with_model(po.WSAM, **WSAM, decouple=False, eps=0.0),
            _whole,
            variant="coupled",
        ),
        case(
            "looksam",
            po.LookSAM,
            LOOK,
            _wrapped(po.LookSAM, **look),
            _second,
            rtol=2e-6,
            atol=1e-7,
            notes=(CAST, "1e-8 stays added to the norm of what is reused."),
        ),
        case(
            "friendly_sam",
            po.FriendlySAM,
            FRIENDLY,
            _wrapped(po.FriendlySAM, **friendly),
            _second,
            agrees=False,
            departures=LATE,
        ),
        make(
            "bsam",
            "pytorch_optimizer.BSAM",
            {"learning_rate": 0.05, **BSAM, "initial_scale": 1.0, "key": KEY},
            _torch_bsam,
            agrees=False,
            departures=(
                "The sample and the ascent are never taken back: the step starts uphill.",
                "A sample's deviation is 1 / (N s), of which the paper takes the root.",
                "The average is of the gradient times the weight decay, not of the gradient plus "
                "that times the weights.",
                "What the scale follows is squared, and the scale follows the gradient uphill.",
            ),
            notes=("Samples are the stored normal numbers.",),
        ),
    ]


def _noise() -> list[np.ndarray]:
    """Normal numbers for every step, from one key after the other."""
    key, like, rows = jax.random.PRNGKey(KEY), jnp.zeros(6, jnp.float64), []
    for _ in range(STEPS):
        key, sample = jax.random.split(key)
        rows.append(np.asarray(optax.tree.random_like(sample, like)))
    return rows


def _torch_bsam() -> tuple[str, Arrays]:
    noise = _noise()
    rest = iter(noise)

    def make(model: Logistic) -> Any:
        return pytorch_optimizer.BSAM(
            [model.weight],
            num_data=50,
            lr=0.05,
            betas=(BSAM["b1"], BSAM["b2"]),
            weight_decay=BSAM["prior"],
            rho=BSAM["rho"],
            damping=BSAM["damping"],
        )

    def advance(optimizer: Any, model: Logistic) -> None:
        model.backward()  # the package makes its state only where a gradient is
        with mock.patch.object(torch, "normal", lambda _, std: std * torch.tensor(next(rest))):
            optimizer.step(model.backward)

    text, arrays = _train(make, advance)
    return text, {**arrays, "noise": np.stack(noise)}


def _authors_asam(root: Path, eta: float) -> tuple[str, Arrays]:
    given = {"torch": torch, "defaultdict": defaultdict}
    asam = CHECKOUTS["ASAM"].definition(root, "ASAM", **given)

    def make(model: Logistic) -> Any:
        return asam(torch.optim.SGD([model.weight], **SGD), model, rho=0.1, eta=eta)

    def advance(optimizer: Any, model: Logistic) -> None:
        model.backward()
        optimizer.ascent_step()
        model.backward()
        optimizer.descent_step()

    return _train(make, advance)


def _authors_friendly(root: Path) -> tuple[str, Arrays]:
    friendly = CHECKOUTS["F-SAM"].definition(root, "FriendlySAM", torch=torch)
    with contextlib.redirect_stdout(io.StringIO()):
        return _train(_wrapped(friendly, rho=0.1, sigma=1.0, lmbda=0.7), _second)


def _authors_gsam(root: Path) -> tuple[str, Arrays]:
    ignored = {"enable_running_stats": id, "disable_running_stats": id}  # it has no statistics
    given = {"torch": torch, "contextlib": contextlib, "ReduceOp": ReduceOp, **ignored}
    gsam = CHECKOUTS["GSAM"].definition(root, "GSAM", **given)
    return _train(_gsam(gsam, rho=0.1, gsam_alpha=0.4, perturb_eps=0.0), _whole)


def _authors_msam(root: Path) -> tuple[str, Arrays]:
    msam = CHECKOUTS["MSAM"].definition(root, "MSAM", torch=torch)

    def advance(optimizer: Any, model: Logistic) -> None:
        model.backward()
        optimizer.step()

    return _train(lambda model: msam([model.weight], **SGD, weight_decay=0.0, rho=0.1), advance)


def _looksam_of_msam(root: Path) -> tuple[str, Arrays]:
    file, given = CHECKOUTS["MSAM-LookSAM"], {"torch": torch}
    given["sgd"] = file.definition(root, "sgd", torch=torch)
    looksam = file.definition(root, "LookSAM", smooth_crossentropy=lambda x, _: x, **given)
    args = {"rho": LOOK["rho"], "alpha": LOOK["alpha"], "k": LOOK["period"]}

    def advance(optimizer: Any, model: Logistic) -> None:
        def predict(_: None) -> torch.Tensor:
            return model()

        predict.module = SimpleNamespace(setBatchNormTracking=id)
        optimizer.step(predict, None, None)

    return _train(lambda model: looksam([model.weight], **SGD, weight_decay=0.0, **args), advance)


def _authors_bsam(root: Path) -> tuple[str, Arrays]:
    noise, features, labels = _noise(), *(jnp.asarray(a) for a in problems.logistic_data())
    rest = iter(noise)
    given = {
        "jax": mock.Mock(wraps=jax, tree_map=jax.tree.map),  # gone from later versions
        "jnp": jnp,
        "copy": copy,
        "TrainState": CHECKOUTS["bayesian-sam"].definition(
            root, "TrainState", NamedTuple=NamedTuple
        ),
        "normal_like_tree": lambda tree, key: (jnp.asarray(next(rest)), key),
    }
    build = CHECKOUTS["bayesian-sam"].definition(root, "build_bsam_optimizer", **given)

    def loss(x: jax.Array, batch: tuple[jax.Array, jax.Array]) -> jax.Array:
        points, signs = batch
        return jnp.mean(jax.nn.softplus(-signs * (points @ x))) + 0.05 * x @ x

    def loss_and_gradient(x: jax.Array, state: None, batch: Any, is_training: bool) -> tuple:
        value, gradient = jax.value_and_grad(loss)(x, batch)
        return (value, state), gradient

    init, step = build(
        loss_and_gradient,
        learningrate=0.05,
        beta1=BSAM["b1"],
        beta2=BSAM["b2"],
        wdecay=BSAM["prior"],
        rho=BSAM["rho"],
        msharpness=1,
        Ndata=50,
        s_init=1.0,
        damping=BSAM["damping"],
    )
    state = init(jnp.asarray(problems.initial_params((6,))), None, jax.random.PRNGKey(0))
    rows: dict[str, list[np.ndarray]] = {"gradients": [], "updates": [], "scales": []}
    for _ in range(STEPS):
        before = state.optstate["w"]
        state, _ = step(state, (features, labels), 1.0)
        rows["gradients"].append(np.asarray(jax.grad(loss)(before, (features, labels))))
        rows["updates"].append(np.asarray(state.optstate["w"] - before))
        rows["scales"].append(np.asarray(state.optstate["s"]))
    stacked = {name: np.stack(values) for name, values in rows.items()}
    return _stored({**stacked, "noise": np.stack(noise)})


def authors_cases(root: Path) -> list[Case]:
    make = partial(Case, rtol=1e-9, atol=1e-10)

    def case(checkout: str, method: str, what: str, settings: dict, run: Callable, **more: Any):
        function = f"{what} in {CHECKOUTS[checkout].file}"
        return make(checkout, method, function, settings, run, checkout=checkout, **more)

    asam = {**INNER, "rho": 0.1, "eps": 0.2}
    scale = {"learning_rate": 0.05, **BSAM, "initial_scale": 1.0, "key": KEY}
    friendly = {**INNER, **FRIENDLY}
    return [
        case("ASAM", "asam", "ASAM", asam, partial(_authors_asam, root, 0.2)),
        case("GSAM", "gsam", "GSAM", {**INNER, **GSAM}, partial(_authors_gsam, root)),
        case("MSAM", "msam", "MSAM", {**INNER, "rho": 0.1}, partial(_authors_msam, root)),
        case(
            "MSAM-LookSAM",
            "looksam",
            "LookSAM",
            {**INNER, **LOOK},
            partial(_looksam_of_msam, root),
            rtol=1e-8,
            atol=1e-9,
            notes=("1e-12 stays added to squared norms, which become as small as 1e-3.",),
        ),
        case(
            "F-SAM",
            "friendly_sam",
            "FriendlySAM",
            friendly,
            partial(_authors_friendly, root),
            agrees=False,
            departures=LATE,
        ),
        case(
            "bayesian-sam",
            "bsam",
            "build_bsam_optimizer",
            scale,
            partial(_authors_bsam, root),
            notes=("Samples are the stored normal numbers. One part of the batch.",),
        ),
    ]
