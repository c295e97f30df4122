"""What all wrappers that take gradients elsewhere have in common, member by member."""

import inspect
import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from typer.testing import CliRunner

import gradlab as gl
from gradlab import catalog
from gradlab.bench.commands import app
from tests.paper import sharpness as paper
from tests.reference.load import curves
from tests.wrappers.closed_loop import START, gradient, logistic_gradient, loss, updates_of

INNER = {"learning_rate": 0.01, "momentum": 0.8}
STEPS = 60

# Each member: its settings, and the name and value that leave the inner optimizer alone.
SETTINGS = {
    "sam": ({"rho": 0.3}, {"rho": 0.0}),
    "asam": ({"rho": 0.4, "eps": 0.1}, {"rho": 0.0}),
    "usam": ({"rho": 0.1}, {"rho": 0.0}),
    "dnsam": ({"rho": 0.3}, {"rho": 0.0}),
    "gradient_norm_penalty": ({"gamma": 0.1, "eps": 0.2}, {"gamma": 0.0}),
    "gsam": ({"rho": 0.3, "alpha": 0.4}, {"rho": 0.0, "alpha": 0.0}),
    "wsam": ({"rho": 0.3, "gamma": 0.7}, {"gamma": 0.0}),
    "looksam": ({"rho": 0.3, "alpha": 0.5, "period": 3}, {"rho": 0.0}),
    "friendly_sam": ({"rho": 0.3, "sigma": 0.9, "b1": 0.7}, {"rho": 0.0}),
    "gcsam": ({"rho": 0.3}, None),
    "msam": ({"rho": 0.3}, {"rho": 0.0}),
    "xgrad": ({"steps": 1.5}, {"steps": 0.0}),
}
MEMBERS = list(SETTINGS)
IN_TURNS = [
    name for name in MEMBERS if "sync_period" in inspect.signature(getattr(gl, name)).parameters
]
WITH_PASSES = [name for name in MEMBERS if "grad_fn" in catalog.get(name).needs]


def make(name, inner=None, **changes):
    settings = {**SETTINGS[name][0], **changes}
    return getattr(gl, name)(gl.sgd(**INNER) if inner is None else inner, **settings)


def full(x):
    """The gradient of all data, for the member that wants it."""
    return 1.5 * jax.grad(loss)(x)


def extra_of(name):
    return {"grad": full} if name == "dnsam" else {}


PAPER_NAMES = {"steps": "ahead"}


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        *((name, {}) for name in MEMBERS if name != "sam"),
        ("gradient_norm_penalty", {"difference": "backward"}),
        ("gradient_norm_penalty", {"difference": "central"}),
        ("wsam", {"sharpness_rate": INNER["learning_rate"]}),
    ],
    ids=lambda x: x if isinstance(x, str) else "-".join(map(str, x.values())),
)
def test_the_numbers_are_the_papers(name, changes):
    settings = {PAPER_NAMES.get(k, k): v for k, v in {**SETTINGS[name][0], **changes}.items()}
    if settings.pop("sharpness_rate", None):
        settings["decoupled"] = True
    if name == "dnsam":
        settings["full"] = lambda x: 1.5 * gradient(x)
    expected = list(getattr(paper, name)(gradient, START, STEPS, **INNER, **settings))
    with jax.enable_x64(True):
        ours = updates_of(make(name, **changes), jax.grad(loss), START, STEPS, **extra_of(name))
    np.testing.assert_allclose(ours, expected, rtol=1e-10, atol=1e-12)


CURVES = [curve for name in MEMBERS if name != "sam" for curve in curves(name)]


def like(curve):
    """The inner optimizer and the settings of a wrapper that a curve was made with."""
    settings = dict(curve.settings)
    return gl.sgd(settings.pop("learning_rate"), momentum=settings.pop("momentum")), settings


@pytest.mark.parametrize("curve", CURVES, ids=lambda c: c.name)
def test_other_peoples_code(curve):
    with jax.enable_x64(True):
        inner, settings = like(curve)
        opt = getattr(gl, curve.method)(inner, **settings)
        ours = updates_of(opt, logistic_gradient(curve), curve.params, len(curve.updates))
    same = np.allclose(ours, curve.updates, rtol=curve.rtol, atol=curve.atol)
    assert same == curve.agrees


@pytest.mark.parametrize("curve", curves("friendly_sam"), ids=lambda c: c.name)
def test_friendly_sam_differs_from_other_peoples_only_in_its_start(curve):
    with jax.enable_x64(True):
        inner, settings = like(curve)
        grad_fn, steps = logistic_gradient(curve), len(curve.updates)
        opt, x = gl.friendly_sam(inner, **settings), jnp.asarray(curve.params)
        # Their first step is sam's, and leaves the first gradient as the average.
        first = gl.sam(inner, settings["rho"])
        update, state = first.update(grad_fn(x), first.init(x), x, grad_fn=grad_fn)
        state, x = (
            opt.init(x)._replace(inner_state=state.inner_state, memory=grad_fn(x)),
            x + update,
        )

        def step(carry, _):
            x, state = carry
            update, state = opt.update(grad_fn(x), state, x, grad_fn=grad_fn)
            return (x + update, state), update

        _, rest = jax.lax.scan(step, (x, state), None, length=steps - 1)
    expected = [update, *rest]
    np.testing.assert_allclose(expected, curve.updates, rtol=curve.rtol, atol=curve.atol)


@pytest.mark.parametrize("name", IN_TURNS)
def test_calls_that_take_turns_make_the_same_step(name):
    with jax.enable_x64(True):
        one, two = (
            updates_of(
                make(name, sync_period=period),
                jax.grad(loss),
                START,
                20,
                period or 1,
                **extra_of(name),
            )
            for period in (None, 2)
        )
    np.testing.assert_allclose(one, two, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", [n for n in MEMBERS if SETTINGS[n][1] is not None])
def test_a_neutral_setting_is_the_inner_optimizer_to_the_bit(name):
    inner = gl.chain(gl.clip_by_global_norm(1.0), gl.adam(0.1))
    # Operation by operation: what the compiler fuses differs from program to program.
    grad_fn = jax.jit(jax.grad(loss))

    def end(opt):
        x = jnp.asarray(START, jnp.float32)
        state = opt.init(x)
        for _ in range(8):
            more = {"grad": full(x)} if name == "dnsam" else {}
            updates, state = opt.update(grad_fn(x), state, x, grad_fn=grad_fn, **more)
            x = optax.apply_updates(x, updates)
        return x

    plain = end(inner)
    np.testing.assert_array_equal(end(make(name, inner, **SETTINGS[name][1])), plain)
    assert np.any(end(make(name, inner)) != plain)


REDUCTIONS = {
    "gsam without its ascent": (lambda i: gl.gsam(i, 0.3, 0.0), lambda i: gl.sam(i, 0.3)),
    "wsam at one half": (lambda i: gl.wsam(i, 0.3, 0.5), lambda i: gl.sam(i, 0.3)),
    "looksam at every step": (lambda i: gl.looksam(i, 0.3, period=1), lambda i: gl.sam(i, 0.3)),
    "friendly_sam for all batches": (
        lambda i: gl.friendly_sam(i, 0.3, sigma=0.0),
        lambda i: gl.sam(i, 0.3),
    ),
    "a penalty as wide as it weighs": (
        lambda i: gl.gradient_norm_penalty(i, 0.1, 0.1),
        lambda i: gl.usam(i, 0.1),
    ),
    "asam with nothing but units of one": (
        lambda i: gl.asam(i, 0.3, mask={"a": False, "b": True}),
        lambda i: gl.sam(i, 0.3),
    ),
}


@pytest.mark.parametrize("name", REDUCTIONS)
def test_one_member_contains_another(name):
    with jax.enable_x64(True):
        grad_fn = jax.grad(lambda p: loss(p["a"]))
        params = {"a": jnp.asarray(START), "b": jnp.zeros(1)}

        def run(opt):
            state, x = opt.init(params), params
            for _ in range(6):
                updates, state = opt.update(grad_fn(x), state, x, grad_fn=grad_fn)
                x = optax.apply_updates(x, updates)
            return x["a"]

        ours, other = (run(wrap(gl.sgd(**INNER))) for wrap in REDUCTIONS[name])
    np.testing.assert_allclose(ours, other, rtol=1e-12)


def test_dnsam_on_all_data_is_sam_and_takes_a_norm_as_well():
    grad_fn = jax.grad(loss)
    sam = updates_of(gl.sam(gl.sgd(**INNER), 0.3), grad_fn, START, 10)
    opt = make("dnsam")
    for known in (grad_fn, lambda x: jnp.linalg.norm(grad_fn(x))):
        np.testing.assert_allclose(
            updates_of(opt, grad_fn, START, 10, grad=known), sam, rtol=1e-4, atol=1e-5
        )


def test_wsam_decouples_what_the_inner_optimizer_does_not_see():
    inner = gl.sgd(0.05)
    coupled = updates_of(gl.wsam(inner, 0.3, 0.7), jax.grad(loss), START, 5)
    apart = gl.wsam(inner, 0.3, 0.7, sharpness_rate=0.05)
    np.testing.assert_allclose(updates_of(apart, jax.grad(loss), START, 5), coupled, rtol=1e-4)
    steps = [
        updates_of(gl.wsam(gl.adam(0.05), 0.3, 0.7, **rate), jax.grad(loss), START, 1)
        for rate in ({"sharpness_rate": 0.0}, {})
    ]
    alone = updates_of(gl.adam(0.05), jax.grad(loss), START, 1)
    np.testing.assert_array_equal(steps[0], alone)
    assert np.any(steps[1] != alone) or np.allclose(np.abs(alone), 0.05)


def test_nesterov_is_xgrad_around_heavy_ball():
    inner = gl.sgd(0.05, momentum=0.8)
    ours = updates_of(gl.xgrad(inner, 0.8), jax.grad(loss), START, 30)
    nesterov = updates_of(gl.sgd(0.05, momentum=0.8, nesterov=True), jax.grad(loss), START, 30)
    np.testing.assert_allclose(ours, nesterov, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["msam", "xgrad"])
def test_parameters_are_held_ahead_and_found_again(name):
    inner = gl.adamw(0.1, weight_decay=0.5)
    opt = gl.chain(gl.clip_by_global_norm(9.0), make(name, inner))
    x, centre = jnp.asarray(START, jnp.float32), jnp.asarray(START, jnp.float32)
    state, inner_state = opt.init(x), inner.init(centre)
    for _ in range(5):
        g = jax.grad(loss)(x)
        updates, state = opt.update(g, state, x)
        x = optax.apply_updates(x, updates)
        steps, inner_state = inner.update(g, inner_state, centre)
        centre = optax.apply_updates(centre, steps)
        np.testing.assert_allclose(gl.eval_params(opt, state, x), centre, rtol=1e-4, atol=1e-6)
        off = x - centre
        if name == "msam":
            np.testing.assert_allclose(jnp.linalg.norm(off), 0.3, rtol=1e-4)
        else:
            np.testing.assert_allclose(off, 1.5 * steps, rtol=1e-3, atol=1e-6)
    assert gl.eval_params(inner, inner_state, x) is x


@pytest.mark.parametrize("name", MEMBERS)
def test_gradients_of_a_step_are_counted_and_shown(name):
    entry = catalog.get(name)
    opt, calls, steps = make(name), 0, 6
    x, state = jnp.asarray(START), opt.init(jnp.asarray(START))

    def count():
        nonlocal calls
        calls += 1

    def grad_fn(x):
        jax.debug.callback(count)
        return jax.grad(loss)(x)

    def step(carry, _):
        more = {key: function(carry[0]) for key, function in extra_of(name).items()}
        gradients = grad_fn(carry[0])
        updates, state = opt.update(gradients, carry[1], carry[0], grad_fn=grad_fn, **more)
        return (optax.apply_updates(carry[0], updates), state), None

    jax.block_until_ready(jax.jit(lambda c: jax.lax.scan(step, c, None, length=steps))((x, state)))
    jax.effects_barrier()
    declared = entry.traits.gradient_evaluations
    # The example of the catalogue looks uphill at every fifth step, this one at every third.
    assert calls / steps == pytest.approx(1 + 1 / 3 if name == "looksam" else declared)
    shown = CliRunner().invoke(app, ["show", name])
    assert f"gradients: {declared:g} a step" in shown.stdout
    listed = CliRunner().invoke(app, ["show", name, "--json"])
    assert json.loads(listed.stdout)["traits"]["gradient_evaluations"] == declared


def test_a_central_difference_takes_three_gradients():
    places = []

    def grad_fn(x):
        places.append(x)
        return 2 * x

    x, opt = jnp.ones(2), gl.gradient_norm_penalty(gl.sgd(0.1), 0.3, 0.1, difference="central")
    opt.update(grad_fn(x), opt.init(x), x, grad_fn=grad_fn)
    np.testing.assert_allclose(places, [x, 0.8 * x, 1.2 * x], rtol=1e-6)


@pytest.mark.parametrize("name", WITH_PASSES)
@pytest.mark.parametrize("aux_from", ["first", "last"])
def test_statistics_come_from_the_pass_that_is_picked(name, aux_from):
    def grad_fn(x):
        return jax.grad(loss)(x), {"mean": x[0].mean()}

    opt = make(name, has_aux=True, aux_like={"mean": 0.0}, aux_from=aux_from)
    x = jnp.asarray(START)
    more = {"grad": full(x)} if name == "dnsam" else {}
    state = opt.init(x)
    _, after = opt.update(None, state, x, grad_fn=grad_fn, **more)
    here = bool(jnp.allclose(after.aux["mean"], x[0].mean(), rtol=1e-6))
    assert here == (aux_from == "first")
    assert jax.tree.map(jnp.result_type, after) == jax.tree.map(jnp.result_type, state)
    gradients = grad_fn(x)[0]
    if aux_from == "first":
        with pytest.raises(ValueError, match="aux_from='first'"):
            opt.update(gradients, state, x, grad_fn=grad_fn, **more)
    else:
        _, given = opt.update(gradients, state, x, grad_fn=grad_fn, **more)
        np.testing.assert_array_equal(given.aux["mean"], after.aux["mean"])


def test_a_step_that_looks_nowhere_keeps_the_statistics_of_the_pass_that_it_makes():
    opt = make("looksam", has_aux=True, aux_like=0.0)
    x, state = jnp.asarray(START), opt.init(jnp.asarray(START))
    for t in range(3):
        _, state = opt.update(
            None, state, x, grad_fn=lambda x, t=t: (jax.grad(loss)(x), jnp.float32(t))
        )
        assert state.aux == t


@pytest.mark.parametrize("name", WITH_PASSES)
@pytest.mark.parametrize("local", [False, True], ids=["one perturbation", "one per device"])
def test_eight_devices_go_uphill_together_or_each_alone(name, local):
    mesh = jax.make_mesh((8,), ("batch",), axis_types=(jax.sharding.AxisType.Auto,))
    split, whole = jax.sharding.PartitionSpec("batch"), jax.sharding.PartitionSpec()
    pulls = jnp.asarray(np.random.default_rng(5).normal(size=(8, *START.shape)), jnp.float32)

    def own_loss(x, pull):
        return loss(x) + jnp.sum(pull * x**2)

    # Not inside of a conditional, from which places could not be handed out.
    always = {"period": 1} if name == "looksam" else {}
    opt = make(name, axis_name="batch", local_ascent=local, **always)
    places = []

    def steps(x, pull):
        state = opt.init(x)
        for _ in range(3):

            def grad_fn(x):
                places.append(x)
                return jax.grad(own_loss)(x, pull[0])

            more = {"grad": full(x)} if name == "dnsam" else {}
            updates, state = opt.update(grad_fn(x), state, x, grad_fn=grad_fn, **more)
            x = optax.apply_updates(x, updates)
        first_uphill = places[1]
        return x[None], first_uphill[None]

    run = jax.shard_map(
        steps, mesh=mesh, in_specs=(whole, split), out_specs=(split, split), check_vma=False
    )
    ends, uphill = jax.jit(run)(jnp.asarray(START, jnp.float32), pulls)
    np.testing.assert_array_equal(ends, np.broadcast_to(ends[0], ends.shape))
    spread = np.abs(np.asarray(uphill) - uphill[0]).max()
    assert spread > 1e-3 if local else spread == 0
    if not local:
        # As on one device that has all data.
        alone = make(name, **always)
        mean_loss = jax.grad(lambda x: jnp.mean(jax.vmap(own_loss, (None, 0))(x, pulls)))
        expected = START + updates_of(alone, mean_loss, START, 3, **extra_of(name)).sum(0)
        np.testing.assert_allclose(ends[0], expected, rtol=1e-4, atol=1e-5)


def test_perturbations_of_one_device_each_are_the_mean_of_gradients_uphill():
    pulls = jnp.linspace(-1, 1, 8)
    opt = gl.sam(gl.sgd(0.1), 0.5, axis_name="batch", local_ascent=True)

    def update(pull):
        def grad_fn(x):
            return 2 * (x - pull)

        return opt.update(grad_fn(x), opt.init(x), x, grad_fn=grad_fn)[0]

    x = jnp.float32(0.2)
    updates = jax.vmap(update, axis_name="batch")(pulls)
    uphill = x + 0.5 * jnp.sign(x - pulls)
    np.testing.assert_allclose(updates, jnp.full(8, -0.1 * jnp.mean(2 * (uphill - pulls))), 1e-5)


@pytest.mark.parametrize("name", MEMBERS)
def test_a_zero_gradient_gives_a_finite_step_and_derivative(name):
    def end(opt, x):
        state = opt.init(x)
        for _ in range(4):
            more = {"grad": 2 * x} if name == "dnsam" else {}
            updates, state = opt.update(2 * x, state, x, grad_fn=lambda x: 2 * x, **more)
            x = optax.apply_updates(x, updates)
        return jnp.sum(x)

    opt, zero = gl.as_arrays(make(name)), jnp.zeros((3, 2))
    slopes = jax.jit(jax.grad(end, argnums=(0, 1)))(opt, zero)
    assert end(opt, zero) == 0
    assert all(jnp.all(jnp.isfinite(x)) for x in jax.tree.leaves(slopes))


def test_looking_uphill_now_and_then_is_still_skipped_under_vmap():
    opts = gl.stack([make("looksam", rho=rho) for rho in (0.1, 0.3)])
    x = jnp.asarray(START)

    def update(opt):
        return opt.update(x, opt.init(x), x, grad_fn=jax.grad(loss))

    program = str(jax.make_jaxpr(jax.vmap(update))(opts))
    assert program.count("cond[") == 1


def test_schedules_of_the_wrapper_advance_with_its_steps():
    schedule = gl.linear_schedule(0.4, 0.0, 4)
    opt = gl.gsam(gl.sgd(0.1), schedule)
    x, state = jnp.asarray(START), opt.init(jnp.asarray(START))
    for expected in (0.4, 0.3, 0.2):
        np.testing.assert_allclose(gl.current(opt, state)["rho"], expected, rtol=1e-6)
        fixed = gl.gsam(gl.sgd(0.1), expected)
        ours, state = opt.update(jax.grad(loss)(x), state, x, grad_fn=jax.grad(loss))
        other, _ = fixed.update(jax.grad(loss)(x), fixed.init(x), x, grad_fn=jax.grad(loss))
        np.testing.assert_allclose(ours, other, rtol=1e-5, atol=1e-7)


def test_foreign_optimizers_are_wrapped_and_others_refused():
    x = jnp.asarray(START)
    for name in MEMBERS:
        opt = make(name, optax.adam(0.1))
        more = {"grad": full(x)} if name == "dnsam" else {}
        updates, _ = opt.update(x, opt.init(x), x, grad_fn=jax.grad(loss), **more)
        assert jnp.all(jnp.isfinite(updates))
        with pytest.raises(TypeError, match=f"{name}: expected a gradient transformation"):
            make(name, gl.sgd)


def test_members_of_the_family_nest():
    opt = gl.msam(gl.sam(gl.gsam(gl.sgd(0.1), 0.1), 0.2), 0.3)
    assert list(gl.hyperparameters(opt)) == [
        "inner.inner.inner.learning_rate",
        "inner.inner.rho",
        "inner.inner.alpha",
        "inner.rho",
        "rho",
    ]
    calls = []

    def grad_fn(x):
        calls.append(x)
        return jax.grad(loss)(x)

    x = jnp.asarray(START)
    opt.update(grad_fn(x), opt.init(x), x, grad_fn=grad_fn)
    assert len(calls) == 3
