"""Promises about arrays: dtypes, buffers, trees, complex numbers, plain state, sharding."""

from __future__ import annotations

import itertools
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from gradlab import core
from gradlab.testing._failure import require
from gradlab.testing._subject import OBJECTIVES, Subject, compiled_once, problem_params, step

DTYPES = (jnp.float16, jnp.bfloat16, jnp.float32)


def _update(subject: Subject, opt: Any, gradients: Any, state: Any, params: Any) -> Any:
    required = opt.rule.required()
    extra = {
        "value": jnp.float32(1.0),
        "grad": gradients,
        "value_fn": lambda p: sum(jnp.sum(x) for x in jax.tree.leaves(p)),
        "grad_fn": lambda p: jax.tree.map(lambda g: g * 1, gradients),
        "key": jax.random.PRNGKey(0),
        "losses": jnp.ones(OBJECTIVES),
    }
    extra = subject.completed(params, extra)
    return opt.update(gradients, state, params, **{k: v for k, v in extra.items() if k in required})


def _astype(x: Any, dtype: Any) -> jax.Array:
    return x.astype(dtype)


def _shapes(tree: Any) -> Any:
    return jax.tree.map(lambda x: (jnp.shape(x), jnp.result_type(x)), tree)


def check_dtypes(subject: Subject) -> str:
    """State keeps its dtypes and updates have the parameters', for every mixture."""
    kinds = {"floats": subject.opt, "float32 arrays": core.as_arrays(subject.opt)}
    narrow_seen = False
    for (kind, opt), low, high in itertools.product(kinds.items(), DTYPES, DTYPES):
        params = problem_params(high)
        gradients = jax.tree.map(partial(_astype, dtype=low), subject.like_gradients(params))

        def one(opt: Any, gradients: Any, params: Any) -> Any:
            state = opt.init(params)
            return state, _update(subject, opt, gradients, state, params)

        state, (updates, new_state) = jax.eval_shape(one, opt, gradients, params)
        where = f"{low.__name__} gradients, {high.__name__} parameters, {kind} as hyperparameters"
        require(
            _shapes(state) == _shapes(new_state), f"the state changes shape or dtype with {where}"
        )
        require(
            _shapes(updates) == _expected(subject, params),
            f"updates are not shaped like params with {where}",
        )
        for x in jax.tree.leaves(state):
            narrow = jnp.issubdtype(x.dtype, jnp.floating) and jnp.finfo(x.dtype).bits < 32
            narrow_seen |= narrow
            allowed = subject.traits.narrow_state and high != jnp.float32
            require(allowed or not narrow, f"an average is kept in {x.dtype} with {where}")
    require(narrow_seen or not subject.traits.narrow_state, "it claims narrow state but has none")
    _check_vmapped_dtypes(subject)
    return "nine pairs"


def _expected(subject: Subject, params: Any) -> Any:
    """Shapes and dtypes of updates: the parameters', or wider where the rule says so."""
    wide = subject.opt.rule.shows_wide_updates()
    return jax.tree.map(
        lambda p: (jnp.shape(p), core.compute_dtype(p) if wide else jnp.result_type(p)), params
    )


def _check_vmapped_dtypes(subject: Subject) -> None:
    opts = core.stack([subject.opt] * 2)
    params = problem_params(jnp.bfloat16)

    def run(opt: Any) -> Any:
        def body(carry: Any, _: Any) -> Any:
            params, state = carry
            gradients = subject.like_gradients(params, 0.5)
            updates, state = _update(subject, opt, gradients, state, params)
            return (optax.apply_updates(params, updates), state), None

        return jax.lax.scan(body, (params, opt.init(params)), None, length=2)[0]

    try:
        jax.eval_shape(jax.vmap(run, axis_size=2), opts)
    except TypeError as error:
        require(False, f"stacked hyperparameters change a dtype inside scan: {error}")


def check_donation(subject: Subject) -> str:
    """No two buffers of state and parameters are the same, so the first step can donate."""
    params = problem_params()
    state = subject.opt.init(params)
    leaves = jax.tree.leaves((params, state))
    pointers = [x.unsafe_buffer_pointer() for x in leaves if x.size]
    require(len(set(pointers)) == len(pointers), "two buffers of state or parameters are aliased")
    return f"{len(pointers)} buffers"


def check_plain_state(subject: Subject) -> str:
    """State is arrays in named tuples; a run that was saved and restored goes on alike."""
    params = problem_params()
    opt = subject.opt
    gradients = subject.gradients(params)
    state = opt.init(params)
    for x in jax.tree.leaves(state):
        require(isinstance(x, jax.Array), f"the state holds {type(x).__name__}, not only arrays")
        require(
            not jnp.issubdtype(x.dtype, jax.dtypes.extended), "the state holds a typed PRNG key"
        )
    _, state = step(subject, gradients, state, params)
    stored = jax.tree.map(np.asarray, state)
    restored = jax.tree.map(jnp.asarray, stored)
    straight = step(subject, gradients, state, params)
    resumed = step(subject, gradients, restored, params)
    same = jax.tree.map(
        lambda a, b: np.array_equal(np.asarray(a), np.asarray(b), equal_nan=True), straight, resumed
    )
    require(all(jax.tree.leaves(same)), "a restored state gives another step than the original")
    return f"{len(jax.tree.leaves(state))} arrays"


def check_trees(subject: Subject) -> str:
    """Odd trees work: None, masked leaves, scalars, empty arrays, empty trees, containers.

    Where the gradient is exactly zero, float16 arrays among them, the step is finite.
    """
    draw = np.random.default_rng(3)

    def array(*shape: int) -> jax.Array:
        return jnp.asarray(draw.normal(size=shape), jnp.float32)

    params = {
        "none": None,
        "masked": optax.MaskedNode(),
        "scalar": array(),
        "empty": array(0, 3),
        "nested": (array(2), [array(2, 3), {"deep": array(4)}]),
        "half": array(3).astype(jnp.float16),
        "half matrix": array(3, 2).astype(jnp.float16),
    }
    gradients = subject.like_gradients(params, 0.5)
    for name in ("half", "half matrix"):
        gradients[name] = jnp.zeros_like(gradients[name])
    state = subject.opt.init(params)
    run = compiled_once(lambda g, s, p: _update(subject, subject.opt, g, s, p))
    updates, new_state = run(gradients, state, params)
    expected = _expected(subject, params)
    require(_shapes(updates) == expected, "on an odd tree, updates are not like params")
    require(_shapes(state) == _shapes(new_state), "on an odd tree, the state changes")
    finite = [bool(jnp.all(jnp.isfinite(x))) for x in jax.tree.leaves((updates, new_state))]
    require(all(finite), "on an odd tree with float16 zeros, an update or state is not finite")
    _check_roots(subject)
    return "containers, None, masked, scalar, empty, float16 zeros"


def _check_roots(subject: Subject) -> None:
    bare = jnp.ones((3, 2))

    def one(params: Any) -> Any:
        state = subject.opt.init(params)
        return _update(subject, subject.opt, subject.like_gradients(params), state, params)[0]

    found = jax.eval_shape(one, bare)
    require(_shapes(found) == _shapes(bare), "a single array as parameters does not work")
    for empty in ({}, ()):
        updates, _ = _update(subject, subject.opt, empty, subject.opt.init(empty), empty)
        require(updates == empty, f"an empty tree {empty!r} gives {updates!r}")


def check_complex(subject: Subject) -> str:
    """Complex parameters work where the method is defined on them, and raise elsewhere."""
    values = jnp.asarray([[1 + 2j, -0.5j], [0.3, -1 - 1j]], jnp.complex64)
    params = {"w": values}
    lead = jnp.arange(1, OBJECTIVES + 1).reshape(-1, 1, 1) if subject.stacked else 1.0
    gradients = {"w": jnp.asarray(lead * jnp.conj(values) * (1 - 0.5j), jnp.complex64)}
    try:
        state = subject.opt.init(params)
        run = compiled_once(lambda g, s, p: _update(subject, subject.opt, g, s, p))
        updates, new_state = run(gradients, state, params)
    except (TypeError, ValueError) as error:
        require(not subject.traits.complex, f"it claims complex support but raises: {error}")
        require("complex" in str(error), f"complex parameters raise without saying so: {error}")
        return "complex parameters are refused"
    require(
        subject.traits.complex, "it denies complex support, but complex parameters do not raise"
    )
    require(updates["w"].dtype == jnp.complex64, "the update of a complex parameter is not complex")
    require(_shapes(state) == _shapes(new_state), "complex parameters change the state's dtypes")
    finite = bool(jnp.all(jnp.isfinite(updates["w"])))
    require(finite, "the update of a complex parameter is not finite")
    return "complex parameters work"


def check_sharding(subject: Subject) -> str:
    """State is sharded like its parameter, and eight devices give one device's numbers."""
    if jax.device_count() < 8:
        return "not tried: fewer than 8 devices"
    # In float64: what iterations on matrices make of another order of sums is no promise.
    with jax.enable_x64(True):
        error = _sharding_error(subject)
    require(error < 1e-9, f"eight devices differ from one by {error:.1e}")
    return f"eight devices differ by {error:.1e}"


def _sharding_error(subject: Subject) -> float:
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    placed = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    draw = np.random.default_rng(4)
    params = {"w": jnp.asarray(draw.normal(size=(16, 4)), jnp.float64)}
    shape = subject.like_gradients(params)["w"].shape
    gradients = {"w": jnp.asarray(draw.normal(size=shape), jnp.float64)}
    split = jax.device_put(params, placed)
    lead = (None,) * (gradients["w"].ndim - 2)
    split_gradients = jax.device_put(
        gradients, jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(*lead, "data"))
    )
    state = subject.opt.init(split)
    for x in jax.tree.leaves(state):
        if x.shape == (16, 4):
            require(
                x.sharding.is_equivalent_to(placed, 2), "state is not sharded like its parameter"
            )
    run = compiled_once(lambda g, s, p: _update(subject, subject.opt, g, s, p)[0])
    many = np.asarray(run(split_gradients, state, split)["w"])
    one = np.asarray(run(gradients, subject.opt.init(params), params)["w"])
    return float(np.max(np.abs(many - one)) / max(1e-6, float(np.max(np.abs(one)))))
