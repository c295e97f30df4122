"""Curves of optax, in float64 unless said otherwise."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from . import problems
from .case import Arrays, Case

jax.config.update("jax_enable_x64", True)
Read = Callable[[Any], Any]


def _first(field: str) -> Read:
    """A field of the first link's state."""
    return lambda state: getattr(state[0], field)


ADAM = {"mu": _first("mu"), "nu": _first("nu")}


def drive(
    make: Callable[[], optax.GradientTransformation],
    *,
    states: dict[str, Read] | None = None,
    shape: tuple[int, ...] = (12,),
    dtype: Any = jnp.float64,
) -> tuple[str, Arrays]:
    gradients = problems.gradient_sequence(shape).astype(dtype)
    start = problems.initial_params(shape).astype(dtype)
    optimizer, params = make(), jnp.asarray(start)
    state = optimizer.init(params)
    rows: dict[str, list[np.ndarray]] = {"updates": []} | {f"state_{n}": [] for n in states or {}}
    for gradient in gradients:
        updates, state = optimizer.update(jnp.asarray(gradient), state, params)
        params = optax.apply_updates(params, updates)
        rows["updates"].append(np.asarray(updates))
        for name, read in (states or {}).items():
            rows[f"state_{name}"].append(np.asarray(read(state)))
    text = problems.SEQUENCE.format(steps=problems.STEPS, shape=shape, seed=problems.SEED)
    return text, {"gradients": gradients, "params": start} | {
        k: np.stack(v) for k, v in rows.items()
    }


def _case(
    method: str, function: Callable, settings: dict, where: str = "optax", **more: Any
) -> Case:
    run_args = {k: more.pop(k) for k in ("states", "shape") if k in more}
    if "dtype" in more:
        run_args["dtype"] = getattr(jnp, more["dtype"])
    run = partial(drive, partial(function, **settings), **run_args)
    name = getattr(function, "__name__", method)
    return Case("optax", method, f"{where}.{name}", settings, run, **more)


BETAS = {"learning_rate": 0.01, "b1": 0.8, "b2": 0.95}


def adam_cases() -> list[Case]:
    peaks = {**ADAM, "nu_max": _first("nu_max")}
    decay = {**BETAS, "weight_decay": 0.1}
    raw = {**BETAS, "bias_correction_mu": False, "bias_correction_nu": False}
    return [
        _case(
            "sgd",
            optax.sgd,
            {"learning_rate": 0.01, "momentum": 0.9},
            states={"trace": _first("trace")},
        ),
        _case("adam", optax.adam, {**BETAS, "eps_root": 1e-6}, states=ADAM),
        _case(
            "adam", optax.adam, BETAS, states=ADAM, dtype="float32", variant="float32", rtol=3e-4
        ),
        _case("adamw", optax.adamw, decay, states=ADAM),
        _case("amsgrad", optax.amsgrad, BETAS, states=peaks),
        _case("amsgrad", optax.amsgrad, raw, states=peaks, variant="uncorrected"),
        _case("adamax", optax.adamax, BETAS, states=ADAM),
        _case("nadam", optax.nadam, BETAS, states=ADAM),
        _case("nadamw", optax.nadamw, decay, states=ADAM),
        _case("radam", optax.radam, BETAS, states=ADAM),
        _case("radam", optax.radam, {**BETAS, "threshold": 4.0}, states=ADAM, variant="threshold4"),
        _case("radam", optax.radam, {**BETAS, "nesterov": True}, states=ADAM, variant="nesterov"),
        _case("adabelief", optax.adabelief, {**BETAS, "eps_root": 1e-12}, states=ADAM),
        _case(
            "adabelief",
            optax.adabelief,
            {**BETAS, "nesterov": True},
            states=ADAM,
            variant="nesterov",
        ),
    ]


def other_cases() -> list[Case]:
    rms = {"learning_rate": 0.01, "decay": 0.95, "eps": 1e-6}
    nu, trace = {"nu": _first("nu")}, {"trace": lambda state: state[2].trace}
    moving = {**rms, "momentum": 0.9, "nesterov": True, "initial_scale": 0.5}
    central = {**rms, "centered": True, "bias_correction": True}
    mix = {"learning_rate": 0.01, "b1": 0.9, "b2": 0.99, "b3": 0.995, "alpha": 5.0}
    averages = {"m1": _first("m1"), "m2": _first("m2"), "nu": _first("nu")}
    adopt = {"learning_rate": 0.01, "b1": 0.9, "b2": 0.99}
    lion = {"learning_rate": 0.01, "b1": 0.9, "b2": 0.99, "weight_decay": 0.1}
    total = {"sum_of_squares": _first("sum_of_squares")}
    contrib = {"where": "optax.contrib"}
    return [
        _case("adagrad", optax.adagrad, {"learning_rate": 0.01, "eps": 1e-7}, states=total),
        _case("rmsprop", optax.rmsprop, rms, states=nu),
        _case("rmsprop", optax.rmsprop, moving, states={**nu, **trace}, variant="nesterov"),
        _case("rmsprop", optax.rmsprop, central, states=ADAM, variant="centered", rtol=1e-7),
        _case("lion", optax.lion, lion, states={"mu": _first("mu")}),
        _case(
            "ademamix",
            optax.contrib.ademamix,
            {**mix, "weight_decay": 0.1},
            states=averages,
            **contrib,
        ),
        _case("adopt", optax.contrib.adopt, adopt, states=ADAM, **contrib),
        _case(
            "adopt",
            optax.contrib.adopt,
            {**adopt, "nesterov": True, "use_clipping": False},
            states=ADAM,
            variant="nesterov_unclipped",
            **contrib,
        ),
        _case("clip_by_global_norm", optax.clip_by_global_norm, {"max_norm": 3.0}),
        _case(
            "adaptive_grad_clip",
            optax.adaptive_grad_clip,
            {"clipping": 0.1},
            shape=(6, 4),
            variant="6x4",
        ),
        _case("adaptive_grad_clip", optax.adaptive_grad_clip, {"clipping": 0.1}, variant="vector"),
    ]


def _muon_mu(state: Any) -> Any:
    return state.inner_states["muon"].inner_state[0].mu


def muon_cases() -> list[Case]:
    base = {"learning_rate": 0.02, "eps": 1e-8}
    run = partial(_case, "muon", optax.contrib.muon, where="optax.contrib", states={"mu": _muon_mu})
    make = partial(run, atol=1e-13)
    dion = {**base, "ns_coeffs": "dion", "preconditioning": "aol"}
    return [
        make({**base, "weight_decay": 0.1}, shape=(6, 4), variant="6x4_decay"),
        make({**base, "adaptive": True, "nesterov": False}, shape=(4, 6), variant="4x6_adaptive"),
        make({**base, "consistent_rms": 0.2, "ns_steps": 4}, shape=(5, 5), variant="5x5_rms"),
        make(dion, shape=(6, 4), variant="6x4_aol_dion"),
        make({**base, "preconditioning": "schatten"}, shape=(5, 5), variant="5x5_schatten"),
        make({**base, "preconditioning": "spectral"}, shape=(4, 6), variant="4x6_spectral"),
        run(base, shape=(4, 6), variant="4x6_float32", dtype="float32", rtol=1e-3, atol=1e-6),
    ]


def _noise(eta: float, gamma: float) -> tuple[str, Arrays]:
    """The normal draws are made again with optax's own splitting, and stored."""
    text, arrays = drive(partial(optax.add_noise, eta, gamma, 0))
    key, draws = jax.random.key(0), []
    like = jnp.zeros(arrays["params"].shape, arrays["params"].dtype)
    for _ in arrays["gradients"]:
        key, sample = jax.random.split(key)
        draws.append(np.asarray(optax.tree.random_like(sample, like, jax.random.normal)))
    return text, arrays | {"draws": np.stack(draws)}


def noise_cases() -> list[Case]:
    settings = {"eta": 0.3, "gamma": 0.55, "key": 0}
    note = (
        "draws holds the standard normal numbers of each step (two-way key split, then one leaf)."
    )
    run = partial(_noise, 0.3, 0.55)
    return [Case("optax", "add_noise", "optax.add_noise", settings, run, notes=(note,), atol=1e-13)]


def cases() -> list[Case]:
    return [*adam_cases(), *other_cases(), *muon_cases(), *noise_cases()]
