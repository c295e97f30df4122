"""Reading and changing hyperparameters, sweeps as an array axis, mid-training values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab as gl

PARAMS = {"w": jnp.arange(3.0), "b": jnp.ones(())}


def train(opt, params, steps=5):
    def step(carry, _):
        params, state = carry
        updates, state = opt.update(params, state, params)
        return (gl.apply_updates(params, updates), state), None

    (params, _), _ = jax.lax.scan(step, (params, opt.init(params)), None, length=steps)
    return params


def test_replace_by_name_by_path_and_of_a_static_field():
    opt = gl.chain(gl.clip_by_global_norm(1.0), gl.adamw(1e-3))
    assert gl.replace(opt, learning_rate=0.5).links[1].learning_rate == 0.5
    assert gl.replace(opt, {"links[1].b1": 0.5}).links[1].b1 == 0.5
    assert gl.replace(opt, nesterov=True).links[1].nesterov is True
    assert opt.links[1].learning_rate == 1e-3


def test_replace_reaches_into_schedules_and_can_set_one():
    opt = gl.sgd(gl.linear_schedule(1.0, 0.0, 10))
    assert gl.replace(opt, {"learning_rate.init_value": 2.0}).learning_rate.init_value == 2.0
    assert gl.replace(opt, learning_rate=0.1) == gl.sgd(0.1)
    assert gl.replace(gl.sgd(0.1), learning_rate=lambda count: 0.2).learning_rate(3) == 0.2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learning_rte": 1.0}, "learning_rate"),
        ({"links[2].b1": 0.5}, r"links\[1\].b1"),
        ({"b1": 0.5}, r"ambiguous.*links\[0\].b1.*links\[1\].b1"),
        ({"links[0].b1": 1.5}, r"b1=1\.5 is outside \[0, 1\)"),
    ],
)
def test_replace_says_what_is_wrong(changes, message):
    opt = gl.chain(gl.scale_by_adam(), gl.adam(0.1))
    with pytest.raises(ValueError, match=message):
        gl.replace(opt, changes)


def test_a_vmapped_stack_equals_a_loop():
    opts = [gl.adamw(lr, weight_decay=wd) for lr, wd in ((0.1, 0.0), (0.2, 0.1), (0.3, 0.2))]
    stacked = jax.vmap(train, in_axes=(0, None))(gl.stack(opts), PARAMS)
    for i, opt in enumerate(opts):
        looped = train(gl.as_arrays(opt), PARAMS)
        jax.tree.map(
            lambda a, b, i=i: np.testing.assert_allclose(a[i], b, rtol=1e-6), stacked, looped
        )


def test_one_array_hyperparameter_is_swept_with_axes():
    opt = gl.adamw(jnp.array([0.1, 0.2]))
    swept = jax.vmap(train, in_axes=(gl.axes(opt), None))(opt, PARAMS)
    assert swept["w"].shape == (2, 3)
    assert not np.allclose(swept["w"][0], swept["w"][1])


def test_unstack_inverts_stack():
    opts = [gl.adamw(0.25, b1=0.5), gl.adamw(0.5, b1=0.25)]
    for restored, opt in zip(gl.unstack(gl.stack(opts)), opts, strict=True):
        for a, b in zip(jax.tree.leaves(restored), jax.tree.leaves(opt), strict=True):
            assert type(a) is float
            assert a == np.float32(b)


def test_unstack_without_a_stack_says_so():
    with pytest.raises(ValueError, match="leading axis"):
        gl.unstack(gl.sgd(0.1))


@pytest.mark.parametrize(
    ("left", "right", "path"),
    [
        (lambda: gl.sgd(0.1), lambda: gl.sgd(gl.linear_schedule(1.0, 0.0, 9)), "learning_rate"),
        (lambda: gl.sgd(0.1), lambda: gl.sgd(0.1, momentum=0.9), "momentum"),
        (lambda: gl.sgd(0.1), lambda: gl.sgd(0.1, nesterov=True), "nesterov"),
        (
            lambda: gl.chain(gl.sgd(0.1), gl.adam(0.1)),
            lambda: gl.chain(gl.sgd(0.1), gl.adam(0.1, nesterov=True)),
            r"links\[1\].nesterov",
        ),
        (lambda: gl.sgd(0.1), lambda: gl.adam(0.1), "the rule"),
    ],
)
def test_stack_names_the_first_path_that_differs(left, right, path):
    with pytest.raises(ValueError, match=f"number 1 differs in structure: {path}"):
        gl.stack([left(), right()])


def test_arrays_and_back():
    opt = gl.adamw(0.25)
    arrays = gl.as_arrays(opt)
    assert all(isinstance(x, jax.Array) for x in jax.tree.leaves(arrays))
    with pytest.raises(TypeError, match="traced"):
        jax.jit(lambda o: gl.concrete(o).b1)(arrays)
    assert gl.concrete(arrays).learning_rate == 0.25
    hash(gl.concrete(arrays))


def test_check_after_a_meta_update_names_path_value_and_bound():
    opt = jax.tree.map(lambda x: x + 0.2, gl.chain(gl.adam(1e-3)))
    with pytest.raises(ValueError, match=r"links\[0\]\.b1=1\.1 is outside \[0, 1\)"):
        gl.check(opt)
    assert gl.check(gl.adamw(1e-3)) == gl.adamw(1e-3)


def test_current_evaluates_schedules_at_this_step():
    opt = gl.chain(
        gl.clip_by_global_norm(1.0),
        gl.adamw(gl.linear_schedule(1.0, 0.0, 4), weight_decay=gl.linear_schedule(0.0, 1.0, 4)),
    )
    state = opt.init(PARAMS)
    for expected in (1.0, 0.75, 0.5):
        now = gl.current(opt, state)
        assert now["links[0].max_norm"] == 1.0
        assert float(now["links[1].learning_rate"]) == expected
        assert float(now["links[1].weight_decay"]) == 1 - expected
        assert now["links[1].b1"] == 0.9
        _, state = opt.update(PARAMS, state, PARAMS)


def test_from_name_builds_and_suggests():
    assert gl.from_name("adamw", learning_rate=1e-3) == gl.adamw(1e-3)
    with pytest.raises(ValueError, match="did you mean 'adamw"):
        gl.from_name("adamww", learning_rate=1e-3)
    with pytest.raises(TypeError, match="learning_rate"):
        gl.from_name("adamw", learning_rat=1e-3)


def test_hypergradients_are_shaped_like_the_optimizer():
    opt = gl.chain(gl.clip_by_global_norm(1.0), gl.adamw(gl.linear_schedule(0.1, 0.0, 9)))
    gradient = jax.grad(lambda o: jnp.sum(train(o, PARAMS)["w"] ** 2))(opt)
    assert jax.tree.structure(gradient) == jax.tree.structure(opt)
    assert all(np.isfinite(x) for x in jax.tree.leaves(gradient))
    assert gl.hyperparameters(gradient)["links[1].learning_rate.init_value"] != 0


def test_twenty_learning_rates_and_an_equal_rebuild_share_one_trace():
    traces = 0

    @jax.jit
    def run(opt):
        nonlocal traces
        traces += 1
        return train(opt, PARAMS)

    for lr in np.linspace(0.01, 0.2, 20):
        run(gl.adamw(lr))
        run(gl.adamw(float(lr)))
    assert traces == 1

    def static(opt):
        nonlocal traces
        traces += 1
        return train(opt, PARAMS)

    traces = 0
    run = jax.jit(static, static_argnums=0)
    for _ in range(3):
        run(gl.adamw(0.1))
    assert traces == 1


def test_a_hyperparameter_changes_in_the_middle_of_a_run_without_a_new_trace():
    traces = 0

    @jax.jit
    def step(opt, state, params):
        nonlocal traces
        traces += 1
        updates, state = opt.update(params, state, params)
        return jax.tree.map(jnp.add, params, updates), state

    opt, params = gl.adamw(0.1), PARAMS
    state = opt.init(params)
    for rate in (0.1, 0.1, 0.0, 0.0, 0.2):
        opt = gl.replace(opt, learning_rate=rate)
        assert gl.current(opt, state)["learning_rate"] == rate
        before = params
        params, state = step(opt, state, params)
        moved = not jax.tree.all(jax.tree.map(np.array_equal, before, params))
        assert moved == (rate > 0)
    assert traces == 1
    assert int(gl.tree.get(state, "count")) == 5


def test_a_custom_vjp_takes_an_optimizer_as_an_ordinary_argument():
    @jax.custom_vjp
    def f(opt, x):
        return opt.learning_rate * x

    f.defvjp(
        lambda opt, x: (f(opt, x), (opt, x)), lambda r, g: (jax.tree.map(jnp.ones_like, r[0]), g)
    )
    assert jax.grad(f)(gl.as_arrays(gl.sgd(0.5)), 2.0).learning_rate == 1.0


def test_jitted_init_is_sharded_like_the_parameters_when_told():
    mesh = jax.make_mesh((8,), ("x",), axis_types=(jax.sharding.AxisType.Auto,))
    split = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("x"))
    params = {
        "w": jax.device_put(jnp.ones((16, 2)), split),
        "b": jax.device_put(jnp.ones(16), split),
    }
    opt = gl.chain(gl.clip_by_global_norm(1.0), gl.adamw(1e-3))
    state = jax.jit(opt.init, out_shardings=gl.state_sharding(opt, params))(params)
    adam = state[1][0]
    assert adam.mu["w"].sharding.is_equivalent_to(split, 2)
    assert adam.nu["b"].sharding.is_equivalent_to(split, 1)
    assert adam.count.sharding.is_fully_replicated
    eager = opt.init(params)
    assert eager[1][0].mu["w"].sharding.is_equivalent_to(split, 2)


def test_a_number_in_a_dict_is_checked_where_it_is_replaced():
    opt = gl.meta.learned_rnn()
    changed = gl.replace(opt, {"weights['bias']": jnp.ones(1)})
    assert float(changed.weights["bias"][0]) == 1.0
    with pytest.raises(ValueError, match="is NaN"):
        gl.replace(opt, {"weights['bias']": jnp.full(1, jnp.nan)})
