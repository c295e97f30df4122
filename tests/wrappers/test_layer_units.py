"""Units that begin anew: the papers' numbers, what is reset, and what is left alone."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradlab as gl
from tests.paper import layer_units as paper

INNER = {"learning_rate": 0.05, "momentum": 0.8}
SIZES = (5, 6, 4, 2)
LAYERS = {
    "first": ("layers/0/*", "layers/1/kernel"),
    "second": ("layers/1/*", "layers/2/kernel"),
}
STEPS = 40


def network(dtype=np.float64, sizes=SIZES):
    draw = np.random.default_rng(6)
    pairs = list(itertools.pairwise(sizes))
    return [[draw.normal(size=s).astype(dtype) for s in pairs], [np.zeros(n) for _, n in pairs]]


def tree(arrays):
    rows = zip(*arrays, strict=True)
    return {"layers": [{"kernel": jnp.asarray(w), "bias": jnp.asarray(b)} for w, b in rows]}


def run(opt, params, gradients, activations):
    """States before each step, and parameters and states after it."""

    def step(carry, row):
        params, state = carry
        gradient, h = row
        updates, after = opt.update(gradient, state, params, activations=h)
        params = optax.apply_updates(params, updates)
        return (params, after), (state, params, after)

    start = (params, opt.init(params))
    return jax.jit(lambda c, r: jax.lax.scan(step, c, r)[1])(start, (gradients, activations))


def drawn(key, init):
    """What new weights are drawn from the key of a state, layer by layer."""
    key, found = jax.random.split(key)[1], []
    for size in itertools.pairwise(SIZES[:-1]):
        for leaf in ("bias", "kernel"):
            key, sample = jax.random.split(key)
            if leaf == "kernel":
                draw = getattr(jax.nn.initializers, init)()
                found.append(np.asarray(draw(sample, size, jnp.float64)))
    return found


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("continual_backprop", {"replacement_rate": 0.06, "decay": 0.7, "maturity": 3}),
        ("continual_backprop", {"replacement_rate": 0.7, "decay": 0.9, "maturity": 0}),
        ("recycle_dormant_units", {"threshold": 0.55, "every": 3}),
    ],
)
def test_the_numbers_are_the_papers(name, settings):
    draw = np.random.default_rng(7)
    start = network()
    gradients = [[[draw.normal(size=x.shape) for x in xs] for xs in start] for _ in range(STEPS)]
    activations = [[np.abs(draw.normal(size=(3, n))) for n in SIZES[1:-1]] for _ in range(STEPS)]
    for h in activations:
        h[0][:, 2] *= 0.2
    with jax.enable_x64(True):
        opt = getattr(gl, name)(gl.sgd(**INNER), LAYERS, **settings, key=4)
        stacked = jax.tree.map(lambda *x: jnp.stack(x), *map(tree, gradients))
        hidden = {"first": jnp.stack([h[0] for h in activations])}
        hidden["second"] = jnp.stack([h[1] for h in activations])
        before, params, after = run(opt, tree(start), stacked, hidden)
        init = opt.kernel_init
        fresh = [drawn(key, init) for key in before.key]
    traces = gl.tree.get(after, "trace")
    transcription = getattr(paper, name)
    begun = 0
    expected = transcription(gradients, activations, fresh, start, **INNER, **settings)
    for step, pair in enumerate(expected):
        for ours, theirs in zip((params, traces), pair, strict=True):
            for layer, (w, b) in enumerate(zip(*theirs, strict=True)):
                found = jax.tree.map(lambda x, step=step: x[step], ours["layers"][layer])
                np.testing.assert_allclose(found["kernel"], w, rtol=1e-10, atol=1e-13)
                np.testing.assert_allclose(found["bias"], b, rtol=1e-10, atol=1e-13)
        begun += sum(int(np.sum(~w.any(1))) for w in pair[1][0][1:])
    assert begun > 5


MLP = {"hidden": ("in/*", "out/kernel")}


def mlp(width=6, dtype=jnp.float32):
    keys = jax.random.split(jax.random.PRNGKey(0), 3)
    params = {
        "in": {"kernel": jax.random.normal(keys[0], (3, width)), "bias": jnp.zeros(width)},
        "out": {"kernel": jax.random.normal(keys[1], (width, 2)), "bias": jnp.ones(2)},
    }
    params["in"]["bias"] = params["in"]["bias"].at[jnp.array([1, 4])].set(-50.0)  # two are dead
    return jax.tree.map(lambda x: x.astype(dtype), params)


def forward(params, x):
    h = jax.nn.relu(x @ params["in"]["kernel"] + params["in"]["bias"])
    return h @ params["out"]["kernel"] + params["out"]["bias"], {"hidden": h}


INPUTS = jax.random.normal(jax.random.PRNGKey(5), (16, 3))


def one_step(opt, params, state=None, zero=False):
    def loss(params):
        out, hidden = forward(params, INPUTS)
        return jnp.mean(out**2), hidden

    gradients, hidden = jax.grad(loss, has_aux=True)(params)
    if zero:
        gradients = jax.tree.map(jnp.zeros_like, gradients)
    state = opt.init(params) if state is None else state
    updates, state = opt.update(gradients, state, params, activations=hidden)
    return optax.apply_updates(params, updates), state


def test_dormant_units_revive_and_the_function_stays_what_it_was():
    opt, params = gl.recycle_dormant_units(gl.sgd(0.1), MLP, 0.0, every=1, key=0), mlp()
    new, _ = one_step(opt, params, zero=True)
    out, before = forward(params, INPUTS)
    same, after = forward(new, INPUTS)
    np.testing.assert_array_equal(out, same)
    dead = jnp.array([1, 4])
    assert not jnp.any(before["hidden"][:, dead])
    assert jnp.all(jnp.any(after["hidden"][:, dead] > 0, axis=0))
    assert not jnp.any(new["out"]["kernel"][dead])
    assert not jnp.any(new["in"]["bias"][dead])
    # And they learn: with a gradient, what leads on leaves zero.
    trained, _ = one_step(opt, new)
    assert jnp.all(jnp.any(trained["out"]["kernel"][dead] != 0, axis=1))


@pytest.mark.parametrize(
    "inner",
    [gl.adam(0.1), gl.chain(gl.clip_by_global_norm(1.0), gl.adamw(0.1)), optax.adam(0.1)],
    ids=["adam", "chain", "optax"],
)
def test_moments_of_recycled_units_are_zero_and_all_else_is_the_same_to_the_bit(inner):
    opt, params = gl.recycle_dormant_units(inner, MLP, 0.2, every=3, key=0), mlp()
    plain, x, y, state, inner_state = gl.chain(inner), params, params, None, None
    for _ in range(3):
        x, state = one_step(opt, x, state)
        hidden = forward(y, INPUTS)[1]["hidden"]
        gradients = jax.grad(lambda p: jnp.mean(forward(p, INPUTS)[0] ** 2))(y)
        inner_state = plain.init(y) if inner_state is None else inner_state
        updates, inner_state = plain.update(gradients, inner_state, y)
        y = optax.apply_updates(y, updates)
    size = jnp.mean(jnp.abs(hidden), 0)
    recycled = size / size.mean() <= 0.2
    assert 2 <= int(recycled.sum()) < 6
    for name in ("mu", "nu"):
        ours, theirs = gl.tree.get(state, name), gl.tree.get(inner_state, name)
        _assert_only_units_changed(ours, theirs, recycled, 0.0)
    masks = jax.tree.leaves(_masks(recycled))
    for a, b, mask in zip(jax.tree.leaves(x), jax.tree.leaves(y), masks, strict=True):
        others = ~jnp.broadcast_to(mask, a.shape)
        np.testing.assert_array_equal(a[others], b[others])
    assert int(gl.tree.get(state.inner_state, "count")) == 3


def _masks(units):
    nothing = jnp.zeros(2, bool)
    return {
        "in": {"kernel": units, "bias": units},
        "out": {"kernel": units[:, None], "bias": nothing},
    }


def _assert_only_units_changed(ours, theirs, units, value):
    for a, b, mask in zip(
        jax.tree.leaves(ours), jax.tree.leaves(theirs), jax.tree.leaves(_masks(units)), strict=True
    ):
        np.testing.assert_array_equal(a, jnp.where(mask, value, b))


def test_between_recyclings_it_is_the_inner_optimizer_to_the_bit():
    inner, params = gl.adam(0.1), mlp()
    opt = gl.recycle_dormant_units(inner, MLP, 9.0, every=4, key=0)
    x, y, state, plain = params, params, None, inner.init(params)
    for step in range(4):
        x, state = one_step(opt, x, state)
        gradients = jax.grad(lambda p: jnp.mean(forward(p, INPUTS)[0] ** 2))(y)
        updates, plain = inner.update(gradients, plain, y)
        y = optax.apply_updates(y, updates)
        same = all(jax.tree.leaves(jax.tree.map(np.array_equal, x, y)))
        assert same == (step < 3)


def test_the_least_useful_mature_unit_is_replaced():
    opt = gl.continual_backprop(gl.sgd(0.0), MLP, 0.17, maturity=2, key=0)
    x, state = mlp(), None
    replaced = []
    for _ in range(9):
        before = x
        x, state = one_step(opt, x, state)
        changed = jnp.any(x["in"]["kernel"] != before["in"]["kernel"], axis=0)
        replaced.append(jnp.flatnonzero(changed).tolist())
        for unit in replaced[-1]:
            assert int(state.age["hidden"][unit]) == 0
            assert not jnp.any(x["out"]["kernel"][unit])
    # Six mature units of which 0.17 are due make one; the two that are dead are the least useful.
    assert replaced[:5] == [[], [], [1], [], [4]]
    # New units are left alone until they are mature.
    for step, units in enumerate(replaced):
        recent = [unit for other in replaced[max(0, step - 2) : step] for unit in other]
        assert not set(units) & set(recent)


def test_without_replacement_it_is_the_inner_optimizer_to_the_bit():
    inner, params = gl.adam(0.1), mlp()
    ours, state = one_step(gl.continual_backprop(inner, MLP, 0.0, maturity=0, key=0), params)
    plain, alone = one_step(gl.chain(inner, gl.chain()), params)
    jax.tree.map(np.testing.assert_array_equal, ours, plain)
    jax.tree.map(np.testing.assert_array_equal, state.inner_state, alone[0])


def test_units_that_a_changing_task_kills_are_kept_alive():
    # Units die when the targets jump to and fro at a large learning rate.
    width, rounds = 12, 12

    def train(opt, key):
        params = jax.tree.map(lambda x: x * 0.5, mlp(width))

        def step(carry, t):
            params, state = carry
            sign = jnp.where((t // 60) % 2 == 0, 6.0, -6.0)
            x = jax.random.normal(jax.random.fold_in(key, t), (16, 3))

            def loss(p):
                out, hidden = forward(p, x)
                target = sign * jnp.stack([jnp.sin(2 * x[:, 0]), x[:, 1] * x[:, 2]], 1)
                return jnp.mean((out - target) ** 2), hidden

            (value, hidden), g = jax.value_and_grad(loss, has_aux=True)(params)
            updates, state = opt.update(g, state, params, activations=hidden)
            active = jnp.mean(jnp.any(hidden["hidden"] > 0, 0))
            return (optax.apply_updates(params, updates), state), (value, active)

        carry = params, opt.init(params)
        return jax.lax.scan(step, carry, jnp.arange(60 * rounds))[1]

    inner, key = gl.adam(0.1), jax.random.PRNGKey(1)
    _, alone = jax.jit(lambda: train(inner, key))()
    _, kept = jax.jit(
        lambda: train(gl.recycle_dormant_units(inner, MLP, 0.0, every=20, key=0), key)
    )()
    assert kept[-60:].mean() > alone[-60:].mean() + 0.1


@pytest.mark.parametrize("name", ["continual_backprop", "recycle_dormant_units"])
def test_convolutions_and_what_follows_a_flattening_are_found(name):
    params = {
        "conv": {"kernel": jnp.ones((3, 3, 2, 4)), "bias": jnp.ones(4)},
        "dense": {"kernel": jnp.ones((2 * 2 * 4, 5))},
    }
    layers = {"conv": ("conv/*", "dense/kernel")}
    settings = {
        "continual_backprop": {"replacement_rate": 0.25, "maturity": 0},
        "recycle_dormant_units": {"threshold": 0.0, "every": 1},
    }[name]
    opt = getattr(gl, name)(gl.sgd(0.0), layers, **settings, key=0)
    h = jnp.ones((7, 2, 2, 4)).at[..., 2].set(0.0)
    updates, _ = opt.update(params, opt.init(params), params, activations={"conv": h})
    new = optax.apply_updates(params, updates)
    rows = jnp.all(new["dense"]["kernel"] == 0, axis=1)
    np.testing.assert_array_equal(rows.reshape(2, 2, 4), jnp.arange(4) == 2 * jnp.ones((2, 2, 1)))
    changed = jnp.any(new["conv"]["kernel"] != 1, axis=(0, 1, 2))
    np.testing.assert_array_equal(changed, jnp.arange(4) == 2)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_narrow_parameters_land_on_the_drawn_numbers(dtype):
    opt = gl.recycle_dormant_units(gl.sgd(0.0), MLP, 0.0, every=1, key=0)
    params = mlp(dtype=dtype)
    new, _ = one_step(opt, params, zero=True)
    assert new["in"]["kernel"].dtype == dtype
    _, sample = jax.random.split(opt.init(params).key)
    key, _ = jax.random.split(sample)
    draw = jax.nn.initializers.glorot_uniform()(jax.random.split(key)[1], (3, 6), dtype)
    np.testing.assert_array_equal(new["in"]["kernel"][:, 1], draw[:, 1])
    assert not jnp.any(new["out"]["kernel"][1])


def test_layers_may_be_described_by_a_function_and_live_in_a_chain():
    def layers(params):
        return {name: (f"{name}/*", "out/kernel") for name in params if name == "in"}

    opt = gl.chain(
        gl.clip_by_global_norm(1.0),
        gl.recycle_dormant_units(gl.adam(0.1), layers, 0.0, every=1, key=0),
    )
    params = mlp()
    hidden = forward(params, INPUTS)[1]["hidden"]
    updates, _ = opt.update(params, opt.init(params), params, activations={"in": hidden})
    assert not jnp.any(optax.apply_updates(params, updates)["out"]["kernel"][1])


@pytest.mark.parametrize("name", ["continual_backprop", "recycle_dormant_units"])
def test_bad_input_is_named(name):
    make, params = getattr(gl, name), mlp()

    def init(layers):
        return make(gl.sgd(0.1), layers, key=0).init(params)

    with pytest.raises(ValueError, match=r"'inn/\*' of the group 'incoming of hidden' matches"):
        init({"hidden": ("inn/*", "out/kernel")})
    with pytest.raises(ValueError, match=r"out/bias has shape \(2,\).*in/bias has \(6,\)"):
        init({"hidden": ("in/*", "out/*")})
    with pytest.raises(ValueError, match=r"in/kernel has shape \(3, 6\).*last but one"):
        init({"hidden": ("out/*", "in/kernel")})
    with pytest.raises(ValueError, match=r"layers\['hidden'\]='in/\*' is no pair"):
        init({"hidden": "in/*"})
    opt = make(gl.sgd(0.1), MLP, key=0)
    state, hidden = opt.init(params), forward(params, INPUTS)[1]
    with pytest.raises(TypeError, match="needs the extra argument activations"):
        opt.update(params, state, params)
    with pytest.raises(TypeError, match="did you mean 'activations'"):
        opt.update(params, state, params, activations=hidden, activation=hidden)
    with pytest.raises(ValueError, match=r"no activations of layers\['hidden'\]; there are hid"):
        opt.update(params, state, params, activations={"hid": hidden["hidden"]})
    with pytest.raises(ValueError, match=r"have shape \(3,\); the layer has 6 units"):
        opt.update(params, state, params, activations={"hidden": jnp.ones(3)})
    with pytest.raises(ValueError, match=r"kernel_init='uniform'.*expected one of"):
        make(gl.sgd(0.1), MLP, kernel_init="uniform", key=0)
