"""Promises about the object: what optax expects, values that compare, arguments, errors."""

from __future__ import annotations

import copy
import inspect
import pickle
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from gradlab import core
from gradlab.testing._failure import require
from gradlab.testing._handles import changed_leaf, handles, is_array
from gradlab.testing._subject import Subject, problem_params, step


def check_protocol(subject: Subject) -> str:
    """It is an optax transformation: pure, and the same eagerly and under jit."""
    opt = subject.opt
    require(
        isinstance(opt, optax.GradientTransformationExtraArgs),
        "it is no optax.GradientTransformationExtraArgs",
    )
    params = problem_params()
    gradients = subject.gradients(params)
    extra = subject.required_extra(params)
    state = opt.init(params)
    before = jax.tree.map(np.array, (params, gradients, state))
    updates, new_state = opt.update(gradients, state, params, **extra)
    after = jax.tree.map(np.array, (params, gradients, state))
    _require_equal(before, after, "init or update changed its arguments")
    again = step(subject, gradients, state, params)
    tolerance = traced_tolerance(opt)
    _require_close((updates, new_state), again, tolerance, "eagerly and under jit the step differs")
    return "pure; eager equals jit"


def _require_equal(left: Any, right: Any, message: str) -> None:
    same = jax.tree.map(lambda a, b: np.array_equal(a, b, equal_nan=True), left, right)
    require(all(jax.tree.leaves(same)), message)


def traced_tolerance(opt: Any) -> float:
    """How much a step may change when its hyperparameters become float32 arrays.

    One minus a decay loses the digits that the decay shares with one; iterations on
    matrices amplify rounding.
    """
    decays = [float(x) for x in jax.tree.leaves(opt) if np.ndim(x) == 0 and 0 < x < 1]
    return max([1e-4, *(2e-5 * 0.001 / (1 - decay) for decay in decays)])


def _require_close(left: Any, right: Any, tolerance: float, message: str) -> None:
    require(jax.tree.structure(left) == jax.tree.structure(right), f"{message}: other structures")
    for a, b in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
        a, b = np.asarray(a, np.complex128), np.asarray(b, np.complex128)
        size = max(1e-6, float(np.max(np.abs(a), initial=0)))
        error = float(np.max(np.abs(a - b), initial=0)) / size
        require(error <= tolerance, f"{message} by {error:.1e} of the largest entry")


def check_data(subject: Any) -> str:
    """Leaves are its hyperparameters; it compares, hashes, pickles and prints by value."""
    opt = subject.opt
    leaves, treedef = jax.tree.flatten(opt)
    require(
        all(isinstance(x, float) or is_array(x) for x in leaves),
        f"every leaf of a configured optimizer is a float or an array with an axis, "
        f"but there are {leaves}",
    )
    arrays = [path for path, x in core.hyperparameters(opt).items() if is_array(x)]
    require(len(core.hyperparameters(opt)) == len(leaves), "two hyperparameters have the same path")
    for twin in (treedef.unflatten(leaves), pickle.loads(pickle.dumps(opt)), copy.deepcopy(opt)):
        require(twin == opt and (twin != opt) is False, "a copy does not equal the original")
        _check_hash(twin, opt, arrays, "a copy has another hash")
        require(jax.tree.structure(twin) == treedef, "a copy has another tree structure")
    if subject.make is not None:
        twin = subject.make()
        require(twin == opt, "the same arguments give unequal optimizers")
        _check_hash(twin, opt, arrays, "the same arguments give other hashes")
    for path, value in core.hyperparameters(opt).items():
        replaced = core.hyperparameters(core.replace(opt, {path: value}))
        require(
            same_numbers(replaced, core.hyperparameters(opt)),
            f"replace does not take the path {path!r} that is printed",
        )
    data = core.data_of(opt)
    require(
        type(data).__name__ in repr(opt) or data.owner() in repr(opt),
        "repr is not its name",
    )
    return f"{len(leaves)} leaves"


def same_numbers(left: dict[str, Any], right: dict[str, Any]) -> bool:
    """Whether two dicts have the same keys and equal numbers or arrays."""
    return left.keys() == right.keys() and all(np.array_equal(x, right[k]) for k, x in left.items())


def _check_hash(twin: Any, opt: Any, arrays: list[str], message: str) -> None:
    """Equal values have equal hashes; what holds an array has none, and says which."""
    if not arrays:
        require(hash(twin) == hash(opt), message)
        return
    try:
        hash(twin)
    except TypeError as error:
        require(arrays[0] in str(error), f"hashing an array raises without its path: {error}")
    else:
        require(False, f"it has a hash although {arrays[0]} is an array")


def check_schedulable(subject: Subject) -> str:
    """`gradlab.current` knows the value of every hyperparameter."""
    state = subject.opt.init(problem_params())
    now = core.current(subject.opt, state)
    for path in core.hyperparameters(subject.opt):
        # A schedule is one value, whatever its knots.
        known = any(path == name or path.startswith(f"{name}.") for name in now)
        require(known, f"gradlab.current does not know {path}, only {sorted(now)}")
    return "current values are known"


def check_extra_arguments(subject: Subject) -> str:
    """Reserved names are accepted, unknown ones pass, near misses raise."""
    params = problem_params()
    required = subject.required_extra(params)

    def update(**extra: Any) -> Any:
        def one(gradients: Any, params: Any) -> Any:
            state = subject.opt.init(params)
            return subject.opt.update(gradients, state, params, **{**required, **extra})[0]

        return jax.eval_shape(one, subject.gradients(params), params)

    plain = update()
    reserved = subject.extra(params)
    for name, value in reserved.items():
        require(update(**{name: value}) == plain, f"the reserved argument {name} is not accepted")
    require(update(an_unrelated_argument=1) == plain, "an unknown argument does not pass through")
    try:
        update(vallue=1.0)
    except TypeError as error:
        require("'value'" in str(error), f"the near miss 'vallue' raises without a hint: {error}")
    else:
        require(False, "the near miss 'vallue' of the argument 'value' is swallowed")
    return "reserved accepted, near misses refused"


def check_bad_input(subject: Subject) -> str:
    """Out-of-range hyperparameters, misspelt keywords and wrong trees say what is wrong."""
    check_ranges(subject)
    check_keywords(subject)
    params = problem_params()
    state = subject.opt.init(params)
    gradients = subject.like_gradients(params)
    del gradients["gain"]
    try:
        subject.opt.update(gradients, state, params, **subject.required_extra(params))
    except ValueError as error:
        require("gain" in str(error), f"a gradient tree without 'gain' raises without it: {error}")
    else:
        require(False, "a gradient tree that lacks a parameter is accepted")
    return "messages name argument, value, bound and path"


def check_ranges(subject: Any) -> None:
    """A hyperparameter out of its range is refused with argument, value and bound."""
    tried = [
        (handle, bad)
        for handle in handles(subject.opt)
        for bad in (handle.interval.low - 1.0, handle.interval.high + 1.0, float("nan"))
        if np.isfinite(bad) or np.isnan(bad)
    ]
    for handle, bad in tried:
        path, interval = handle.path, handle.interval
        try:
            core.replace(subject.opt, {path: changed_leaf(subject.opt, handle, bad)})
        except ValueError as error:
            name = path.rsplit(".", 1)[-1].split("[")[0]
            require(name in str(error), f"{path}={bad} raises without the name: {error}")
            if np.isfinite(bad):
                number = f"{bad:g}" if handle.entry else str(bad)  # as an array shows it
                shown = number in str(error) and str(interval) in str(error)
                require(shown, f"{path}={bad} raises without value and bound: {error}")
        else:
            require(False, f"{path}={bad} is accepted although the range is {interval}")


def check_keywords(subject: Any) -> None:
    """An unknown keyword is named, and the search space names arguments only."""
    make = subject.make
    if make is None:
        return
    try:
        make(no_such_argument_at_all=1.0)
    except TypeError as error:
        require("no_such_argument_at_all" in str(error), f"a misspelt keyword gives: {error}")
    else:
        require(False, "an unknown keyword of the public function is accepted")
    for name in subject.search:
        known = inspect.signature(core.data_of(subject.opt).public or make).parameters
        paths = core.hyperparameters(subject.opt)
        named = name in known or any(path.rsplit(".", 1)[-1] == name for path in paths)
        require(named, f"the search space names {name!r}, which is no argument")


def check_needs(subject: Subject) -> str:
    """Without an extra argument that it needs it says so."""
    params = problem_params()
    state = subject.opt.init(params)
    required, supplied = subject.opt.rule.required(), subject.extra(params)
    for name in sorted(set(required) - set(supplied)):
        require(False, f"it needs {name}, of which the entry gives no example: extra=…")
    given_to_all = {*core.RESERVED, *(("losses",) if subject.stacked else ())}
    for name in sorted(set(supplied) - given_to_all - set(required)):
        require(False, f"the entry gives an example of {name}, which it does not need")
    for name in required:
        extra = subject.extra(params)
        del extra[name]
        try:
            subject.opt.update(subject.gradients(params), state, params, **extra)
        except TypeError as error:
            require(name in str(error), f"without {name} the message is: {error}")
        else:
            require(False, f"it declares that it needs {name}, but works without")
    if subject.stacked:
        summed = jax.tree.map(lambda g: jnp.sum(g, 0), subject.gradients(params))
        try:
            subject.opt.update(summed, state, params, **subject.required_extra(params))
        except ValueError:
            return "a summed gradient is refused"
        require(False, "a gradient that was already summed is accepted")
    return ", ".join(required) or "nothing"
