"""Schedule-free learning: the paper, optax, and what its three sequences are."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradlab as gl
from tests import agreement
from tests.paper.schedule_free import schedule_free as paper
from tests.reference.load import curves


def rising_and_falling(t):
    """A rate whose largest value so far is not its present one."""
    return 0.02 + 0.03 * abs(((t - 1) % 20) - 10) / 10


def schedule(count):
    return rising_and_falling(count * 1.0)


def test_paper():
    opt = gl.schedule_free(gl.sgd(0.1), schedule, b1=0.8, weight_lr_power=1.5)
    agreement.assert_matches_paper(
        opt, paper, steps=lambda t: 0.1, weighs=rising_and_falling, b1=0.8, weight_lr_power=1.5
    )


def warm_up(peak, length, late):
    return lambda t: peak * min(1.0, (t - late) / length)


@pytest.mark.parametrize("name", ["sgd", "adamw"])
@pytest.mark.parametrize("weight_decay", [0.0, 0.2])
def test_the_paper_with_a_rate_of_its_own(name, weight_decay):
    more = {"b2": 0.95} if name == "adamw" else {}
    opt = getattr(gl, f"schedule_free_{name}")(
        0.1, warmup_steps=10, b1=0.7, weight_decay=weight_decay, **more
    )
    agreement.assert_matches_paper(
        opt,
        paper,
        steps=warm_up(0.1, 10, late=1),
        weighs=warm_up(0.1, 10, late=0),
        b1=0.7,
        weight_decay=weight_decay,
        **more,
    )


# An eighth is exact in float32, in which optax computes its warm-up.
OPTIONS = [
    ("schedule_free_sgd", {"learning_rate": 0.1}),
    ("schedule_free_sgd", {"learning_rate": 0.125, "warmup_steps": 8, "weight_decay": 0.1}),
    ("schedule_free_adamw", {"learning_rate": 0.1, "b1": 0.95, "weight_lr_power": 0.0}),
    ("schedule_free_adamw", {"learning_rate": 0.125, "warmup_steps": 8, "weight_decay": 0.1}),
]


@pytest.mark.parametrize(("name", "options"), OPTIONS)
def test_optax_gives_the_same_numbers_in_the_same_state(name, options):
    ours, theirs = (getattr(lib.contrib, name)(**options) for lib in (gl, optax))
    params = agreement.parameter_tree()
    shapes = [jax.eval_shape(opt.init, params) for opt in (ours, theirs)]
    assert jax.tree.structure(shapes[0]) == jax.tree.structure(shapes[1])
    for a, b in zip(*map(jax.tree.leaves, shapes), strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
    with jax.enable_x64(True):
        gradients, x = jnp.asarray(agreement.gradient_sequence()), jnp.asarray(agreement.start())
        mine, other = (agreement.open_loop(opt, gradients, x) for opt in (ours, theirs))
    for a, b in zip(*map(jax.tree.leaves, (mine, other)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


WRITTEN = [c for n in ("", "_sgd", "_adamw") for c in curves(f"schedule_free{n}")]


@pytest.mark.parametrize("curve", WRITTEN, ids=lambda c: c.name)
def test_the_authors_package_and_optax(curve):
    settings = dict(curve.settings)
    if curve.method == "schedule_free":
        rate, momentum = settings.pop("learning_rate"), settings.pop("momentum")
        opt = gl.schedule_free(gl.sgd(rate, momentum=momentum), rate, **settings)
    else:
        opt = getattr(gl, curve.method)(**settings)
    agreement.assert_matches_reference(opt, curve)


@pytest.mark.parametrize("curve", [c for c in WRITTEN if not c.agrees], ids=lambda c: c.name)
def test_what_the_authors_do_otherwise_is_a_schedule(curve):
    settings = curve.settings
    rate, length = settings["learning_rate"], settings.get("warmup_steps", 1)

    def weighs(t):
        """The authors' learning rate at step t = 1, 2, …"""
        warm = rate * jnp.minimum(t / length, 1.0)
        paper = curve.name.endswith("_paper")
        return warm * jnp.sqrt(1 - settings["b2"] ** t) if paper else warm

    def moves(count):
        return rate * jnp.minimum((count + 1.0) / length, 1.0)

    if curve.method == "schedule_free_sgd":
        base = gl.sgd(moves)
    else:
        base = gl.adam(moves, 0.0, settings["b2"], settings["eps"])
    opt = gl.schedule_free(base, lambda t: weighs(t * 1.0), settings["b1"])
    agreement.assert_matches_reference(opt, dataclasses.replace(curve, agrees=True))


def run(opt, steps=40, params=None):
    """Parameters, states and averages of every step on a quadratic."""
    params = jnp.array([3.0, -2.0, 1.0]) if params is None else params

    def step(carry, _):
        params, state = carry
        updates, state = opt.update(params * jnp.array([1.0, 0.3, 0.0]), state, params)
        params = optax.apply_updates(params, updates)
        return (params, state), (params, state, gl.eval_params(opt, state, params))

    return jax.jit(lambda c: jax.lax.scan(step, c, None, length=steps)[1])(
        (params, opt.init(params))
    )


def test_without_a_power_the_average_is_the_mean_of_all_iterates():
    _, states, x = run(gl.schedule_free(gl.adam(0.1, b1=0.0), 0.1, weight_lr_power=0.0))
    mean = np.cumsum(states.z, 0) / np.arange(1, 41)[:, None]
    np.testing.assert_allclose(x, mean, rtol=1e-4, atol=1e-5)


def test_with_a_share_of_one_the_average_is_what_is_trained():
    y, _, x = run(gl.schedule_free(gl.sgd(0.1), 0.1, b1=1.0))
    np.testing.assert_array_equal(x, y)


def test_with_almost_no_share_the_optimizer_inside_is_alone():
    with jax.enable_x64(True):
        y, _, _ = run(gl.schedule_free(gl.adam(0.1), 0.1, b1=1e-9), params=jnp.ones(3))
        params, state = jnp.ones(3), gl.adam(0.1).init(jnp.ones(3))
        for _ in range(40):
            g = params * jnp.array([1.0, 0.3, 0.0])
            updates, state = gl.adam(0.1).update(g, state, params)
            params = params + updates
    np.testing.assert_allclose(y[-1], params, rtol=1e-6)


def test_what_has_no_gradient_does_not_move_at_all():
    y, _, x = run(gl.schedule_free_adamw(0.1, warmup_steps=5))
    np.testing.assert_array_equal(y[:, 2], 1.0)
    np.testing.assert_array_equal(y[0], [3.0, -2.0, 1.0])  # the first rate is zero
    np.testing.assert_allclose(x[:, 2], 1.0, rtol=1e-6)


def test_the_average_is_found_however_deep_and_as_optax_finds_it():
    opt = gl.chain(gl.clip_by_global_norm(9.0), gl.schedule_free_sgd(0.5, b1=0.8))
    params = {"w": jnp.array([4.0, 1.0])}
    state = opt.init(params)
    for _ in range(3):
        updates, state = opt.update(params, state, params)
        params = optax.apply_updates(params, updates)
    x = gl.eval_params(opt, state, params)
    theirs = optax.contrib.schedule_free_eval_params(state[1], params)
    np.testing.assert_allclose(x["w"], theirs["w"], rtol=1e-6)
    mine = gl.schedule_free_eval_params(state[1], params)
    np.testing.assert_allclose(mine["w"], theirs["w"], rtol=1e-6)
    with pytest.raises(TypeError, match=r"gl\.eval_params"):
        gl.schedule_free_eval_params(state, params)


def test_a_wrapper_inside_a_wrapper_keeps_what_the_outer_one_needs():
    opt = gl.schedule_free(gl.sam(gl.sgd(0.1), 0.05), 0.1)
    assert opt.rule.required() == ("grad_fn",)
    assert gl.hyperparameters(opt)["base_optimizer.inner.learning_rate"] == 0.1
    with pytest.raises(TypeError, match="grad_fn"):
        opt.update(1.0, opt.init(1.0), 1.0)


def test_narrow_parameters_have_a_float32_state_and_train():
    opt = gl.schedule_free_adamw(0.05)
    y, states, x = run(opt, params=jnp.array([3.0, -2.0, 1.0], jnp.bfloat16))
    assert {a.dtype for a in jax.tree.leaves(states)} == {jnp.dtype("float32"), jnp.dtype("int32")}
    assert x.dtype == y.dtype == jnp.bfloat16
    assert float(jnp.abs(x[-1, 0])) < 2.5


def test_z_is_stored_as_narrow_as_asked_for_and_averaged_as_stored():
    opt = gl.schedule_free_sgd(0.1, b1=0.5, state_dtype=jnp.bfloat16)
    y, states, _ = run(opt, 1)
    assert states.z.dtype == jnp.bfloat16
    np.testing.assert_array_equal(y[0], states.z[0].astype(jnp.float32))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: gl.schedule_free(gl.sgd(0.1), 0.1, b1=0.0), ValueError, r"b1=0\.0 .*\(0, 1\]"),
        (lambda: gl.schedule_free(gl.sgd, 0.1), TypeError, "schedule_free: expected a gradient"),
        (lambda: gl.schedule_free_sgd(warmup_steps=0), ValueError, r"warmup_steps=0\.0 .*\(0, inf"),
        (lambda: gl.schedule_free_adamw(b2=1.0), ValueError, r"b2=1\.0 .*\[0, 1\)"),
    ],
)
def test_bad_input_names_argument_value_and_bound(make, error, message):
    with pytest.raises(error, match=message):
        make()
    opt = gl.schedule_free_sgd()
    with pytest.raises(ValueError, match="schedule_free_sgd: update needs the parameters"):
        opt.update(jnp.ones(2), opt.init(jnp.ones(2)))


def test_weights_that_follow_the_present_rate_are_seen(monkeypatch):
    monkeypatch.setattr(jnp, "maximum", lambda a, b: b)
    with pytest.raises(AssertionError):
        test_paper()


@pytest.mark.parametrize("name", ["schedule_free_sgd", "schedule_free_adamw"])
def test_decay_takes_a_schedule_and_a_mask(name):
    make = getattr(gl, name)

    def constant(t):
        return 0.3 + 0.0 * t

    agreement.assert_same_numbers(make(0.1, weight_decay=constant), make(0.1, weight_decay=0.3))
    params = {"w": jnp.ones(2), "b": jnp.ones(2)}
    opt = make(0.1, weight_decay=lambda t: 0.5 * t, mask={"w": True, "b": False})
    state = opt.init(params)
    for t in range(2):
        assert float(gl.current(opt, state)["weight_decay"]) == 0.5 * t
        updates, state = opt.update(params, state, params)
        assert np.any(updates["w"] != updates["b"]) == (t > 0)
