"""Groups: optax's numbers and state, labels by path in every kind of tree, and clear errors."""

import equinox as eqx
import flax.nnx as nnx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradlab as gl
from gradlab.testing._subject import compiled_once
from tests import agreement
from tests.reference.load import curves

TREE = {"embed": jnp.ones((3, 2)), "layers": [{"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}]}
LABELS = {"embed": "slow", "layers": "fast"}


def open_loop(opt, params, steps=5):
    gradients = jax.tree.map(
        lambda p: jnp.asarray(agreement.gradient_sequence(p.shape, 40)[20:], jnp.float32), params
    )
    return agreement.open_loop(opt, gradients, params)


@pytest.mark.parametrize("mask_compatible_extra_args", [False, True])
def test_numbers_and_state_are_those_of_optax(mask_compatible_extra_args):
    def make(library):
        parts = {"slow": library.adam(1e-3), "fast": library.sgd(0.1, 0.9)}
        return library.partition(
            parts, LABELS, mask_compatible_extra_args=mask_compatible_extra_args
        )

    ours, theirs = open_loop(make(gl), TREE), open_loop(make(optax), TREE)
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("curve", curves("partition"), ids=lambda c: c.name)
def test_a_stored_run_of_optax(curve):
    settings = dict(curve.settings)
    split, descent = settings.pop("split"), gl.sgd(settings.pop("rate"), settings.pop("momentum"))
    groups = gl.partition(
        {"fast": descent, "slow": gl.adam(**settings)}, {"a": "fast", "b": "slow"}
    )

    def parts(x):
        return {"a": x[..., :split], "b": x[..., split:]}

    with jax.enable_x64(True):
        gradients, x = (parts(jnp.asarray(a)) for a in (curve.gradients, curve.params))
        updates, _ = agreement.open_loop(groups, gradients, x)
    for name, expected in parts(curve.updates).items():
        np.testing.assert_allclose(updates[name], expected, rtol=curve.rtol, atol=1e-14)


def test_each_group_is_stepped_as_if_alone():
    opt = gl.partition({"slow": gl.adamw(1e-2), "fast": gl.lion(1e-3)}, LABELS)
    updates, _ = open_loop(opt, TREE)
    alone, _ = open_loop(gl.adamw(1e-2), {"embed": TREE["embed"]})
    np.testing.assert_allclose(updates["embed"], alone["embed"], rtol=2e-6)
    alone, _ = open_loop(gl.lion(1e-3), {"layers": TREE["layers"]})
    jax.tree.map(np.testing.assert_array_equal, updates["layers"], alone["layers"])


class Module(eqx.Module):
    embed: jax.Array
    layers: list


class Model(nnx.Module):
    def __init__(self):
        self.embed = nnx.Param(TREE["embed"])
        self.layers = nnx.List([nnx.Linear(2, 2, rngs=nnx.Rngs(0))])


@pytest.mark.parametrize("kind", ["dict", "equinox", "nnx"])
@pytest.mark.parametrize(
    "labels", [LABELS, gl.by_path({"slow": "embed*", "fast": "layers/*"})], ids=["tree", "by_path"]
)
def test_one_rule_labels_dicts_modules_and_states(kind, labels):
    params = {
        "dict": TREE,
        "equinox": Module(**TREE),
        "nnx": nnx.state(Model(), nnx.Param),
    }[kind]
    opt = gl.partition({"slow": gl.sgd(1.0), "fast": gl.sgd(3.0)}, labels)
    gradients = jax.tree.map(jnp.ones_like, params)
    updates, _ = jax.jit(opt.update)(gradients, opt.init(params), params)
    assert jax.tree.structure(updates) == jax.tree.structure(params)
    found = {path[0]: {*np.unique(x)} for path, x in flat(updates)}
    assert found == {"embed": {-1.0}, "layers": {-3.0}}


def flat(tree):
    for path, x in jax.tree_util.tree_leaves_with_path(tree):
        yield [jax.tree_util.keystr((k,), simple=True) for k in path], x


def test_hyperparameters_of_groups_are_leaves():
    opt = gl.partition(
        {"slow": gl.sgd(gl.linear_schedule(1.0, 0.0, 4)), "fast": gl.adam(0.1)}, LABELS
    )
    path = "transforms['fast'].learning_rate"
    assert gl.hyperparameters(opt)[path] == 0.1
    changed = gl.replace(opt, {path: 0.3})
    assert gl.hyperparameters(changed)[path] == 0.3
    with pytest.raises(ValueError, match=r"outside \[0, inf\)"):
        gl.replace(opt, {path: -1.0})
    assert opt == gl.partition(dict(opt.transforms), LABELS)
    state = opt.init(TREE)
    _, state = opt.update(TREE, state, TREE)
    now = gl.current(opt, state)
    assert now["transforms['slow'].learning_rate"] == 0.75
    assert now[path] == 0.1
    stacked = gl.stack([opt, changed])
    np.testing.assert_allclose(gl.hyperparameters(stacked)[path], [0.1, 0.3])
    with pytest.raises(ValueError, match=r"transforms\['fast'\]"):
        gl.stack([opt, gl.partition({"slow": opt.transforms["slow"], "fast": gl.sgd(0.1)}, LABELS)])


def quadratic(params):
    return sum(jnp.sum((x - 3.0) ** 2) for x in jax.tree.leaves(params))


@pytest.mark.parametrize(
    "inner",
    [
        optax.chain(optax.sgd(1.0), optax.scale_by_zoom_linesearch(20)),
        optax.chain(optax.sgd(1.0), optax.scale_by_backtracking_linesearch(20)),
        optax.lbfgs(),
        gl.sam(gl.sgd(0.3), 0.01),
        gl.sam(gl.sgd(0.3), 0.01, has_aux=True),
    ],
    ids=["zoom", "backtracking", "lbfgs", "sam", "sam with aux"],
)
def test_line_searches_and_wrappers_work_inside_of_a_group(inner):
    opt = gl.partition({"slow": inner, "fast": gl.sgd(0.25)}, LABELS)
    aux = getattr(inner, "has_aux", False) if isinstance(inner, gl.Transform) else False
    grad_fn = (
        jax.grad(lambda p: (quadratic(p), "aux"), has_aux=True) if aux else jax.grad(quadratic)
    )
    extra = {"grad_fn": grad_fn} if isinstance(inner, gl.Transform) else {}

    @compiled_once
    def step(params, state):
        value, grad = jax.value_and_grad(quadratic)(params)
        updates, state = opt.update(
            grad, state, params, value=value, grad=grad, value_fn=quadratic, **extra
        )
        return optax.apply_updates(params, updates), state

    params, state = TREE, opt.init(TREE)
    for _ in range(12):
        params, state = step(params, state)
    assert quadratic(params) < 1e-3


def test_inside_of_a_group_the_other_parameters_are_constants():
    seen = []

    def update(updates, state, params=None, *, value_fn, **extra):
        seen.append((value_fn(jax.tree.map(lambda x: 0 * x, params)), extra["grad"]))
        return updates, state

    spy = optax.GradientTransformationExtraArgs(lambda p: optax.EmptyState(), update)
    opt = gl.partition({"slow": spy, "fast": gl.sgd(0.1)}, LABELS)
    opt.update(TREE, opt.init(TREE), TREE, value_fn=quadratic, grad=TREE)
    value, grad = seen[0]
    assert value == 6 * 9.0 + 6 * 4.0  # its own at zero, the others at one
    assert isinstance(grad["layers"], optax.MaskedNode)


def test_a_group_can_be_reset_alone():
    opt = gl.chain(
        gl.clip_by_global_norm(1.0),
        gl.partition({"slow": gl.adam(0.1), "fast": gl.sgd(0.1, 0.9)}, LABELS),
    )
    _, state = opt.update(TREE, opt.init(TREE), TREE)
    again = gl.reset(opt, state, TREE, group="fast")
    fresh = opt.init(TREE)
    slow, fast = (again[1].inner_states[name] for name in ("slow", "fast"))
    jax.tree.map(np.testing.assert_array_equal, slow, state[1].inner_states["slow"])
    jax.tree.map(np.testing.assert_array_equal, fast, fresh[1].inner_states["fast"])
    jax.tree.map(np.testing.assert_array_equal, gl.reset(opt, state, TREE), fresh)
    with pytest.raises(ValueError, match="'fsat'; did you mean 'fast'"):
        gl.reset(opt, state, TREE, group="fsat")


def test_groups_nest():
    inner = gl.partition({"x": gl.sgd(1.0), "y": gl.sgd(2.0)}, gl.by_path({"x": "*/bias"}, "y"))
    opt = gl.partition({"slow": gl.sgd(3.0), "fast": inner}, LABELS)
    gradients = jax.tree.map(jnp.ones_like, TREE)
    state = opt.init(TREE)
    updates, state = opt.update(gradients, state, TREE)
    found = {"/".join(path): float(x.ravel()[0]) for path, x in flat(updates)}
    assert found == {"embed": -3.0, "layers/0/bias": -1.0, "layers/0/kernel": -2.0}
    gl.reset(opt, state, TREE, group="x")


def test_what_has_no_group_or_two_is_said_with_its_path():
    parts = {"slow": gl.sgd(0.1), "fast": gl.sgd(0.2)}

    def start(labels):
        return gl.partition(parts, labels).init(TREE)

    with pytest.raises(ValueError, match="no label for the parameter at layers/0/bias"):
        start({"embed": "slow", "layers": [{"kernel": "fast"}]})
    with pytest.raises(ValueError, match="embed the label 'quick'"):
        start({"embed": "quick", "layers": "fast"})
    with pytest.raises(ValueError, match="labels head, where there is no parameter"):
        start({**LABELS, "head": "fast"})
    with pytest.raises(ValueError, match="'layers/0/bias' is in no group"):
        start(gl.by_path({"slow": "embed", "fast": "*/kernel"}))
    with pytest.raises(ValueError, match="'embed' belongs to several groups: 'slow', 'fast'"):
        start(gl.by_path({"slow": "embed", "fast": "*"}))
    with pytest.raises(ValueError, match=r"'head/\*' of the group 'fast' matches none"):
        start(gl.by_path({"slow": "*", "fast": "head/*"}))
    with pytest.raises(TypeError, match="partition: expected a gradient transformation"):
        gl.partition({"slow": gl.sgd}, LABELS)
