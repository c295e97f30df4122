"""Schedules are data with optax's numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradlab as gl

COSINE = {"init_value": 0.0, "peak_value": 1.0, "warmup_steps": 3, "decay_steps": 10}
CASES = [
    ("constant_schedule", (0.1,)),
    ("linear_schedule", (1.0, 0.1, 10, 3)),
    ("linear_schedule", (1.0, 0.1, 0)),
    ("linear_schedule", (1.0, 0.1, 5, -2)),
    ("polynomial_schedule", (1.0, 0.1, 2.0, 10, 3)),
    ("exponential_decay", (1.0, 10, 0.5, 3)),
    ("exponential_decay", (1.0, 10, 0.5, 3, True, 0.3)),
    ("exponential_decay", (1.0, 10, 2.0, 3, False, 1.5)),
    ("exponential_decay", (1.0, 10, 0.0)),
    ("exponential_decay", (1.0, 0, 0.5)),
    ("cosine_decay_schedule", (1.0, 20, 0.1, 1.5)),
    ("warmup_constant_schedule", (0.0, 1.0, 5)),
    ("warmup_cosine_decay_schedule", (0.0, 1.0, 5, 20, 0.1, 1.2)),
    ("warmup_cosine_decay_schedule", (0.0, 1.0, 0, 20)),
    ("warmup_cosine_decay_schedule", (0.0, 0.0, 5, 20)),
    ("warmup_exponential_decay_schedule", (0.0, 1.0, 5, 7, 0.4, 2)),
    ("piecewise_constant_schedule", (1.0, {3: 0.5, 10: 0.1})),
    ("piecewise_constant_schedule", (1.0,)),
    ("piecewise_interpolate_schedule", ("linear", 1.0, {3: 0.5, 10: 0.1})),
    ("piecewise_interpolate_schedule", ("cosine", 1.0, {3: 0.5, 10: 0.1})),
    ("linear_onecycle_schedule", (29, 1.0)),
    ("cosine_onecycle_schedule", (29, 1.0)),
    ("cosine_onecycle_schedule", (100, 1.0, 0.29)),
    ("sgdr_schedule", ([COSINE, {**COSINE, "peak_value": 0.5}],)),
]
IDS = [f"{name}{arguments}" for name, arguments in CASES]


@pytest.mark.parametrize(("name", "arguments"), CASES, ids=IDS)
def test_values_are_optaxs_and_derivatives_finite(name, arguments):
    ours, theirs = getattr(gl, name)(*arguments), getattr(optax, name)(*arguments)
    counts = jnp.arange(40)
    a = jax.jit(jax.vmap(lambda c: jnp.asarray(ours(c), float)))(counts)
    b = jax.jit(jax.vmap(lambda c: jnp.asarray(theirs(c), float)))(counts)
    np.testing.assert_allclose(a, b, rtol=2e-6, atol=1e-7)
    jacobian = jax.jit(jax.jacrev(lambda s: jax.vmap(lambda c: jnp.asarray(s(c), float))(counts)))(
        ours
    )
    for path, value in gl.hyperparameters(jacobian).items():
        assert np.all(np.isfinite(value)), path


@pytest.mark.parametrize(("name", "arguments"), CASES, ids=IDS)
def test_every_number_is_a_leaf_and_the_repr_can_be_pasted(name, arguments):
    schedule = getattr(gl, name)(*arguments)
    assert all(type(x) is float for x in jax.tree.leaves(schedule))
    assert eval(repr(schedule), vars(gl).copy()) == schedule
    assert hash(schedule) == hash(getattr(gl, name)(*arguments))


def test_peak_and_horizon_are_swept_without_a_new_trace():
    traces = 0

    @jax.jit
    def run(schedule):
        nonlocal traces
        traces += 1
        return schedule(jnp.int32(7))

    values = [
        float(run(gl.warmup_cosine_decay_schedule(0.0, peak, 5, horizon)))
        for peak in (0.1, 0.2)
        for horizon in (10, 20)
    ]
    assert traces == 1
    assert len(set(values)) == 4


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: gl.cosine_decay_schedule(1.0, 0), r"decay_steps=0\.0 is outside \(0, inf\)"),
        (
            lambda: gl.warmup_cosine_decay_schedule(0.0, 1.0, 10, 10),
            "decay_steps=10 has to be above",
        ),
        (lambda: gl.piecewise_constant_schedule(1.0, {3: -1.0}), r"scales=-1\.0 is outside"),
        (lambda: gl.piecewise_interpolate_schedule("cubic", 1.0), "'linear', 'cosine'"),
        (lambda: gl.join_schedules([lambda c: 1.0], [3]), "need 0 boundaries"),
    ],
)
def test_bad_input_names_argument_value_and_bound(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_foreign_schedules_are_adopted_and_joined():
    opt = gl.sgd(gl.join_schedules([optax.linear_schedule(0.0, 1.0, 2), lambda c: 5.0], [2]))
    state = opt.init(jnp.ones(2))
    rates = []
    for _ in range(4):
        rates.append(float(gl.current(opt, state)["learning_rate"]))
        _, state = opt.update(jnp.ones(2), state)
    assert rates == [0.0, 0.5, 5.0, 5.0]
