"""The contract as a whole."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import optax

from gradlab.core import Entry, Regularizer, Traits, Transform
from gradlab.testing import (
    _arrays,
    _bilevel,
    _claims,
    _derivatives,
    _hypergradient,
    _memory,
    _operator,
    _protocol,
    _regularizer,
    _solver,
)
from gradlab.testing._failure import BrokenPromise
from gradlab.testing._operator_subject import OperatorSubject
from gradlab.testing._subject import DESCENT, Subject

PROMISES: dict[str, Callable[[Subject], str]] = {
    "it is an optax transformation": _protocol.check_protocol,
    "it is data": _protocol.check_data,
    "its current hyperparameters can be read": _protocol.check_schedulable,
    "extra arguments": _protocol.check_extra_arguments,
    "what it needs": _protocol.check_needs,
    "bad input is refused": _protocol.check_bad_input,
    "one trace for all values": _derivatives.check_one_trace,
    "vmap over a stack equals a loop": _derivatives.check_vmap_equals_loop,
    "every hyperparameter is consumed": _derivatives.check_consumed,
    "hypergradients equal finite differences": _derivatives.check_hypergradients,
    "hypergradients are finite at zero": _derivatives.check_finite_at_zero,
    "dtypes are stable": _arrays.check_dtypes,
    "the first step can donate": _arrays.check_donation,
    "a step stores nothing of parameter size": _memory.check_memory,
    "state is plain and resumes": _arrays.check_plain_state,
    "odd trees work": _arrays.check_trees,
    "complex numbers": _arrays.check_complex,
    "sharded state": _arrays.check_sharding,
    "elementwise": _claims.check_elementwise,
    "smooth": _claims.check_smooth,
    "stochastic": _claims.check_stochastic,
    "gradient evaluations": _claims.check_gradient_evaluations,
    "conditionals survive vmap": _claims.check_conditionals,
}
"""Each promise of a transformation, in plain words, and the function that checks it."""

PROMISES_OF: dict[str, dict[str, Callable[[Any], str]]] = {
    "transformation": PROMISES,
    "regularizer": _regularizer.PROMISES,
    "hypergradient": _hypergradient.PROMISES,
    "bilevel": _bilevel.PROMISES,
    "solver": _solver.PROMISES,
    "operator": _operator.PROMISES,
}
"""The promises of each kind of function that the catalogue has."""

_SUBJECTS = {
    "transformation": Subject.of,
    "regularizer": _regularizer.RegularizerSubject.of,
    "hypergradient": _hypergradient.HypergradientSubject.of,
    "bilevel": _bilevel.BilevelSubject.of,
    "solver": _solver.SolverSubject.of,
    "operator": OperatorSubject.of,
}


class ContractError(AssertionError):
    """Promises of the contract that a function does not keep."""


@dataclasses.dataclass(frozen=True)
class Report:
    """What was found for each promise.

    Attributes:
      opt: the transformation or regularizer.
      kept: promise to what was seen.
      broken: promise to what went wrong.
    """

    opt: Any
    kept: dict[str, str]
    broken: dict[str, str]

    def __str__(self) -> str:
        lines = [f"{self.opt!r} breaks {len(self.broken)} of {len(self.kept) + len(self.broken)}:"]
        lines += [f"  - {promise}: {why}" for promise, why in self.broken.items()]
        return "\n".join(lines)


def check_transformation(
    opt: optax.GradientTransformation,
    *,
    needs: tuple[str, ...] = (),
    traits: Traits | None = None,
    is_optimizer: bool = True,
    make: Callable[..., Transform] | None = None,
    extra: Callable[[Any, dict[str, Any]], dict[str, Any]] | None = None,
    promises: Iterable[str] | None = None,
) -> Report:
    """Checks a gradient transformation against the contract.

    Args:
      opt: the transformation, built by a rule of yours.
      needs: `("stacked",)` for gradients with a leading axis of objectives; `("descent",)` for
        what has to be handed updates that point downhill.
      traits: what it claims beyond the contract; claims and denials are both tested.
      is_optimizer: whether its updates are to be added to the parameters. False for
        transformations of gradients, whose updates point uphill.
      make: the public function with working defaults, to try its errors.
      extra: makes the extra arguments that it needs beside the reserved ones, or in their
        place, from any parameters and a dict of the reserved ones.
      promises: which of `PROMISES` to check. All by default.

    Returns:
      A report of what was seen for each promise.

    Raises:
      ContractError: promises that do not hold, in plain words.
      TypeError: `opt` is not a gradlab transform.

    Example:
      >>> import gradlab as gl
      >>> report = gl.testing.check_transformation(gl.sgd(0.1), promises=["it is data"])
      >>> report.kept
      {'it is data': '1 leaves'}
    """
    if not isinstance(opt, Transform):
        raise TypeError(f"check_transformation needs a gradlab transform, got {opt!r}")
    scale = 1.0 if is_optimizer else DESCENT
    subject = Subject(opt, needs, traits or Traits(), scale, make, more=extra)
    return _check(subject, PROMISES, promises)


def check_regularizer(
    regularizer: Regularizer,
    *,
    traits: Traits | None = None,
    make: Callable[..., Regularizer] | None = None,
    call: Callable[[Any, Any], Any] | None = None,
    promises: Iterable[str] | None = None,
) -> Report:
    """Checks a penalty, or a reparameterisation, against the contract.

    Args:
      regularizer: one that a class of yours defines.
      traits: what it claims beyond the contract; claims and denials are both tested. Only
        `smooth`, `kinks`, `complex` and `stochastic` say something about a regularizer.
      make: the public function with working defaults, to try its errors.
      call: `call(regularizer, params)` gives its value on parameters of the canonical
        problem; for one that needs what the contract cannot make.
      promises: which of `PROMISES_OF["regularizer"]` to check. All by default.

    Returns:
      A report of what was seen for each promise.

    Raises:
      ContractError: promises that do not hold, in plain words.
      TypeError: it is no gradlab regularizer.

    Example:
      >>> import gradlab as gl
      >>> report = gl.testing.check_regularizer(gl.norm_loss(0.1), promises=["it is data"])
      >>> report.kept
      {'it is data': '1 leaves'}
    """
    if not isinstance(regularizer, Regularizer):
        raise TypeError(f"check_regularizer needs a gradlab regularizer, got {regularizer!r}")
    subject = _regularizer.RegularizerSubject(regularizer, traits or Traits(), make, call=call)
    return _check(subject, PROMISES_OF["regularizer"], promises)


def check_operator(
    operator: Callable[..., Any],
    penalty: Callable[..., Any],
    *,
    example: Mapping[str, Any] | None = None,
    needs: tuple[str, ...] = (),
    traits: Traits | None = None,
    promises: Iterable[str] | None = None,
) -> Report:
    """Checks a proximal operator, or a projection, against the contract.

    Args:
      operator: of yours: `operator(tree, **example, scaling=1.0)`; a projection takes no scaling.
      penalty: the function h that it belongs to, with its strength: `penalty(tree, **example)`, a
        real scalar, infinite where it is not defined.
      example: its arguments beside the tree and the scaling. Floats are strengths.
      needs: what it acts on where that is not any tree, as in `core.Entry`.
      traits: what it claims beyond the contract: `elementwise`, `smooth`, `kinks`, `complex` and
        `expansive`; claims and denials are both tested.
      promises: which of `PROMISES_OF["operator"]` to check. All by default.

    Returns:
      A report of what was seen for each promise.

    Raises:
      ContractError: promises that do not hold, in plain words.

    Example:
      >>> import gradlab as gl, jax, jax.numpy as jnp
      >>> def penalty(tree, l2reg):
      ...     return l2reg / 2 * sum(jnp.sum(x**2) for x in jax.tree.leaves(tree))
      >>> report = gl.testing.check_operator(
      ...     gl.prox.prox_ridge, penalty, example={"l2reg": 0.3}, promises=["smooth"]
      ... )
      >>> report.kept
      {'smooth': 'no kink on the lines tried'}
    """
    subject = OperatorSubject(operator, penalty, example or {}, traits or Traits(), needs)
    return _check(subject, PROMISES_OF["operator"], promises)


def check_entry(entry: Entry, promises: Iterable[str] | None = None) -> Report:
    """Checks an entry of the catalogue, with the needs and traits that it declares.

    Raises:
      ContractError: promises that do not hold, in plain words.
    """
    return _check(_SUBJECTS[entry.kind](entry), PROMISES_OF[entry.kind], promises)


def _check(subject: Any, known: dict[str, Any], promises: Iterable[str] | None) -> Report:
    kept, broken = {}, {}
    for promise in known if promises is None else promises:
        try:
            kept[promise] = known[promise](subject)
        except BrokenPromise as error:
            broken[promise] = str(error)
        except Exception as error:
            broken[promise] = f"{type(error).__name__}: {error}"
    report = Report(subject.opt, kept, broken)
    if broken:
        raise ContractError(str(report))
    return report
