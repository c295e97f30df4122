"""The promise about memory: a step works in place."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from gradlab.testing._failure import require
from gradlab.testing._subject import OBJECTIVES, Subject

SIZE = 2**22
ALLOWED = 0.25

AS_USERS_COMPILE: dict[str, str | bool] = {"xla_cpu_use_fusion_emitters": True}
"""Options of JAX's own, for what is said of a program whatever the environment's flags are."""


def compiled_step(
    opt: optax.GradientTransformation,
    size: int | tuple[int, ...] = SIZE,
    *,
    objectives: int | None = None,
    required: tuple[str, ...] = (),
    more: Callable[[Any, dict[str, Any]], dict[str, Any]] | None = None,
) -> Any:
    """One step of update and apply, compiled for one float32 array, its memory donated.

    Nothing is computed: parameters and gradients are shapes.

    Args:
      opt: the transformation.
      size: length of the parameter, or its shape.
      objectives: None, or the length of a leading axis of gradients.
      required: extra arguments that `update` needs. The loss is the sum of squares.
      more: as `Entry.extra`.

    Returns:
      JAX's compiled program, for its `memory_analysis()` and `cost_analysis()`.

    Example:
      >>> import gradlab as gl
      >>> program = gl.testing.compiled_step(gl.adamw(1e-3))
      >>> program.memory_analysis().temp_size_in_bytes < 1000
      True
    """
    opt = optax.with_extra_args_support(opt)

    def loss(x: jax.Array) -> jax.Array:
        return jnp.sum(x * x)

    def step(params: Any, state: Any, gradient: Any) -> Any:
        reserved = {
            "value": loss(params),
            "grad": jax.grad(loss)(params),
            "value_fn": loss,
            "grad_fn": jax.grad(loss),
            "key": jax.random.PRNGKey(0),
            "losses": jnp.ones(objectives or 1),
        }
        own = {} if more is None else more(params, reserved)
        extra = {name: (reserved | own)[name] for name in required}
        updates, state = opt.update(gradient, state, params, **extra)
        return optax.apply_updates(params, updates), state

    shape = size if isinstance(size, tuple) else (size,)
    params = jax.ShapeDtypeStruct(shape, jnp.float32)
    lead = () if objectives is None else (objectives,)
    gradient = jax.ShapeDtypeStruct((*lead, *shape), jnp.float32)
    state = jax.eval_shape(opt.init, params)
    lowered = jax.jit(step, donate_argnums=(0, 1)).lower(params, state, gradient)
    return lowered.compile(compiler_options=AS_USERS_COMPILE)


def temporaries(program: Any, size: int = SIZE) -> float:
    """What a compiled step stores beside arguments and results, in multiples of the parameter."""
    return program.memory_analysis().temp_size_in_bytes / (4 * size)


@functools.lru_cache(maxsize=4)
def stored(subject: Subject) -> float:
    """The temporaries of a step of the subject, in multiples of the parameter."""
    objectives = OBJECTIVES if subject.stacked else None
    required = subject.opt.rule.required()
    program = compiled_step(
        subject.opt, objectives=objectives, required=required, more=subject.more
    )
    return temporaries(program)


def check_memory(subject: Subject) -> str:
    """An elementwise step stores no array as large as a parameter, or says why it has to."""
    if not subject.traits.elementwise:
        return "not elementwise: not promised"
    found, reason = stored(subject), subject.traits.temporaries
    seen = f"temporaries of {found:.2f} × the parameter"
    if reason:
        require(found > ALLOWED, f"it explains temporaries, but its step has none: {seen}")
        return f"{seen}: {reason}"
    require(
        found <= ALLOWED,
        f"a compiled, donated step has {seen}; order its writes (`written_after`, "
        "`written_last`) or say in `Traits(temporaries=…)` why it needs them",
    )
    return seen
