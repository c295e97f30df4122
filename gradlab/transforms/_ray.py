"""What line searches share: the objective along a ray, and what their derivatives are."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import optax

from gradlab import core
from gradlab.core import Params, Updates


class Ray(NamedTuple):
    """What a search is made on. All of it is constant to derivatives.

    Attributes:
      start: the parameters, in float32 or wider.
      direction: the updates, alike; zeros where there are none.
      value, grad: of the objective at the start.
      objective: a function of such parameters.
    """

    start: Params
    direction: Updates
    value: jax.Array
    grad: Updates
    objective: Callable[[Params], jax.Array]


class LineSearch(core.Rule):
    """Scales updates by a step that is searched for along them.

    The state is a named tuple with `learning_rate`, `value`, `grad` and `info`, as in optax.
    `grad` is None where the gradient at the end of the step is not kept.
    """

    needs = ("value", "grad", "value_fn")

    def search(self, ray: Ray, state: Any) -> Any:
        """The state after the search."""
        raise NotImplementedError(f"{type(self).__name__} has to define search")

    def accepted(self, found: Any, state: Any) -> jax.Array:
        """The step that was found, with the derivative that it has: here none."""
        del state
        return found.learning_rate

    def update(
        self,
        updates: Updates,
        state: Any,
        params: Params | None = None,
        *,
        value: Any = None,
        grad: Any = None,
        value_fn: Any = None,
        **extra: Any,
    ) -> tuple[Updates, Any]:
        params = self.needed(params)
        start, along = jax.tree.map(_widened, params), _filled(updates, params)
        if not jax.tree.leaves(start):
            return updates, state
        # A function of its own for each call: what is found in one is kept for it.
        objective = functools.partial(value_fn, **_arguments(value_fn, extra))
        objective, inputs = jax.closure_convert(objective, params)
        value, grad = jnp.asarray(value, state.value.dtype), _filled(grad, params)
        still: Any = jax.lax.stop_gradient((start, along, value, grad, inputs))
        start_still, along_still, value_still, grad_still, constants = still

        def constant_objective(x: Params) -> jax.Array:
            return objective(_as_given(x, params), *constants).astype(value.dtype)

        ray = Ray(start_still, along_still, value_still, grad_still, constant_objective)
        before = jax.lax.stop_gradient(state)
        found = jax.lax.stop_gradient(_constant(self, state).search(ray, before))
        found = core.keep_dtypes(found, state)
        rate = self.accepted(found, state)
        end = jax.tree.map(lambda x, u: x + rate * u, start, along)
        value, grad = _remembered(objective, _as_given(end, params), inputs, found)
        found = found._replace(learning_rate=rate, value=value, grad=grad)
        return jax.tree.map(lambda u: rate * u, updates), found


class SearchOfOptax(LineSearch):
    """A line search of optax, made of the rule's fields at each call.

    Attributes:
      theirs: optax's function, whose arguments are the fields.
    """

    theirs: ClassVar[Callable[..., optax.GradientTransformationExtraArgs]]

    def in_optax(self) -> optax.GradientTransformationExtraArgs:
        names = self.hyper_names + self.static_names
        return type(self).theirs(**{name: getattr(self, name) for name in names})

    def init(self, params: Params) -> Any:
        return init_like_optax(self.in_optax(), params)

    def search(self, ray: Ray, state: Any) -> Any:
        start, direction, *known, objective = ray
        extra: Any = dict(zip(("value", "grad"), known, strict=True))
        return self.in_optax().update(direction, state, start, value_fn=objective, **extra)[1]


def slope(direction: Updates, grad: Updates) -> jax.Array:
    """The derivative of the objective along a direction; JAX's gradients are conjugate."""
    return core.inner_product(jax.tree.map(jnp.conj, direction), grad)


def init_like_optax(transformation: Any, params: Params) -> Any:
    """The state that a search of optax begins with, its numbers in float32 or wider."""
    first = jax.tree.leaves(params)[:1] or [jnp.zeros(())]
    state = transformation.init(jax.tree.map(_widened, first))
    # Not weakly typed: what comes after a step is not, either.
    state = jax.tree.map(lambda x: jax.lax.convert_element_type(x, x.dtype), state)
    grad = None if state.grad is None else jax.tree.map(jnp.zeros_like, params)
    return jax.tree.map(jnp.copy, state)._replace(grad=grad)


def with_real_objective(params: Params, given: dict[str, Any]) -> dict[str, Any]:
    """What the contract hands to `update`: at complex parameters, too, the objective is real."""
    del params
    return {"value_fn": lambda p: jnp.real(given["value_fn"](p))}


def with_bumps(params: Params, given: dict[str, Any]) -> dict[str, Any]:
    """The same, of an objective with bumps: without any, few intervals are searched for long."""

    def objective(p: Params) -> jax.Array:
        total = sum((jnp.sum(jnp.real(x)) for x in jax.tree.leaves(p)), jnp.zeros([]))
        return (1 + 0.75 * jnp.cos(3 * total)) * jnp.real(given["value_fn"](p))

    value, grad = jax.value_and_grad(objective)(params)
    return {"value": value, "grad": grad, "value_fn": objective}


def _remembered(objective: Any, end: Params, inputs: list, found: Any) -> tuple[Any, Any]:
    """What the search knows of the objective where it ended, with derivatives.

    The objective is evaluated again only where something is differentiated.
    """
    if found.grad is None:
        return _known(objective, end, inputs, found.value), None
    return _known(jax.value_and_grad(objective), end, inputs, (found.value, found.grad))


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _known(function: Any, end: Params, inputs: list, known: Any) -> Any:
    del function, end, inputs
    return known


@_known.defjvp
def _known_jvp(function: Any, primals: tuple, tangents: tuple) -> tuple:
    end, inputs, known = primals

    def again(end: Params, inputs: list) -> Any:
        return core.keep_dtypes(function(end, *inputs), known)

    return known, jax.jvp(again, (end, inputs), tangents[:2])[1]


def _constant(rule: Any, state: Any) -> Any:
    """The rule without derivatives; arrays in the dtype of the step, plain numbers plain."""
    dtype = state.learning_rate.dtype

    def still(x: Any) -> Any:
        return x if isinstance(x, float) else jax.lax.stop_gradient(jnp.asarray(x, dtype))

    return jax.tree.map(still, rule)


def _arguments(value_fn: Callable[..., Any], extra: dict[str, Any]) -> dict[str, Any]:
    """Those extra arguments that the objective takes; reserved ones only where it names them."""
    known = inspect.signature(value_fn).parameters
    any_name = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in known.values())
    return {
        name: x
        for name, x in extra.items()
        if name in known or (any_name and name not in core.RESERVED)
    }


def _widened(x: Any) -> jax.Array:
    return jnp.asarray(x, core.compute_dtype(x))


def _as_given(x: Params, params: Params) -> Params:
    return jax.tree.map(lambda a, p: jnp.asarray(a, jnp.result_type(p)), x, params)


def _filled(tree: Any, params: Params) -> Any:
    """A tree like the widened parameters, with zeros where `tree` has nothing.

    Raises:
      TypeError: a complex update for a real parameter.
      ValueError: trees of different structure; the message names the path.
    """
    leaves, treedef = jax.tree.flatten(tree, is_leaf=core.is_none)
    filled = []
    for x, p in zip(leaves, core.flatten_like(treedef, params, "updates", "params"), strict=True):
        if p is None:
            filled.append(None)
            continue
        dtype = core.compute_dtype(p)
        if x is not None and jnp.iscomplexobj(x) and not jnp.iscomplexobj(p):
            raise TypeError("a complex update cannot be applied to a real parameter")
        filled.append(jnp.zeros_like(p, dtype) if x is None else jnp.asarray(x, dtype))
    return treedef.unflatten(filled)
