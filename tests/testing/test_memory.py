"""A step works in place, in every variant of every elementwise method."""

import inspect
import itertools

import jax
import jax.numpy as jnp
import optax
import pytest

import gradlab as gl
from gradlab import catalog, testing
from gradlab.testing import Subject

TRANSFORMATIONS = [entry for entry in catalog.entries() if entry.kind == "transformation"]
ELEMENTWISE = [entry for entry in TRANSFORMATIONS if entry.traits.elementwise]
PROMISE = "a step stores nothing of parameter size"


def variants(entry):
    """The example, with momentum or decay where there are such, and all choices of flags."""
    parameters = inspect.signature(entry.function).parameters
    flags = [name for name, p in parameters.items() if isinstance(p.default, bool)]
    optional = {"momentum": 0.9, "weight_decay": gl.linear_schedule(0.1, 0.0, 9)}
    bases = [{}, *({name: x} for name, x in optional.items() if name in parameters)]
    for base, count in itertools.product(bases, range(len(flags) + 1)):
        for flipped in itertools.combinations(flags, count):
            yield base | {name: not parameters[name].default for name in flipped}


@pytest.mark.parametrize("entry", ELEMENTWISE, ids=lambda entry: entry.name)
def test_no_variant_stores_an_array_as_large_as_a_parameter(entry):
    if entry.traits.temporaries:
        assert testing.check_entry(entry, [PROMISE]).kept[PROMISE]
        return
    for settings in variants(entry):
        opt = entry.make(**settings)
        needs = {"required": opt.rule.required(), "more": entry.extra}
        stored = testing.temporaries(testing.compiled_step(opt, **needs))
        assert stored <= 0.25, f"{entry.name} with {settings} stores {stored:.2f} × its parameter"


def test_a_step_that_stores_is_refused_unless_it_says_why():
    class Copies(gl.core.Rule):
        """The gradient, and a lagging one, in the order in which XLA has to copy."""

        def init(self, params):
            return optax.TraceState(gl.core.moments_like(params))

        def update(self, updates, state, params=None, **extra):
            def leaf(h, g, t):
                return 0.5 * t + g, 0.9 * t + g

            updates, trace = self.each(leaf, updates, state.trace)
            return updates, optax.TraceState(trace)

    opt = Copies().present()
    with pytest.raises(testing.ContractError, match=r"temporaries of 1\.00 × the parameter"):
        testing.check_transformation(opt, promises=[PROMISE])
    said = gl.catalog.Traits(temporaries="It keeps the last gradient.")
    kept = testing.check_transformation(opt, traits=said, promises=[PROMISE]).kept
    assert "It keeps the last gradient." in kept[PROMISE]
    with pytest.raises(testing.ContractError, match="its step has none"):
        testing.check_transformation(gl.sgd(0.1), traits=said, promises=[PROMISE])


def test_what_is_not_elementwise_promises_nothing():
    subject = Subject(gl.clip_by_global_norm(1.0), traits=gl.catalog.Traits(elementwise=False))
    assert "not promised" in testing.PROMISES[PROMISE](subject)


def test_gradients_are_released_as_soon_as_a_step_has_used_them():
    layers, width = 8, 256
    opt = gl.adamw(1e-3)

    def loss(params, x):
        for w in params:
            x = jnp.tanh(x @ w)
        return jnp.sum(x**2)

    def step(params, state, x):
        updates, state = opt.update(jax.grad(loss)(params, x), state, params)
        return optax.apply_updates(params, updates), state

    params = [jax.ShapeDtypeStruct((width, width), jnp.float32)] * layers
    state = jax.eval_shape(opt.init, params)
    x = jax.ShapeDtypeStruct((4, width), jnp.float32)
    lowered = jax.jit(step, donate_argnums=(0, 1)).lower(params, state, x)
    program = lowered.compile(compiler_options=testing.AS_USERS_COMPILE)
    # One program computes gradients and steps: two layers' gradients live at a time, not eight.
    stored = program.memory_analysis().temp_size_in_bytes
    assert stored < 3 * 4 * width**2
