"""An optimizer is data: it compares, copies, prints and flattens by value."""

import copy
import pickle
import subprocess
import sys

import equinox as eqx
import flax.serialization
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import treescope

import gradlab as gl

NUMBERS = [1, np.float64(1), np.float32(1), np.array(1.0), jnp.float32(1), jnp.asarray(1)]


@pytest.mark.parametrize("number", NUMBERS, ids=lambda x: type(x).__name__ + str(np.ndim(x)))
def test_any_real_number_becomes_a_float_leaf(number):
    (leaf,) = jax.tree.leaves(gl.sgd(number))
    assert type(leaf) is float
    assert leaf == 1.0


@pytest.mark.parametrize("bad", [True, np.bool_(True), "0.1", 1j, None, [0.1, "a"]])
def test_a_learning_rate_that_is_no_number_is_refused_by_name(bad):
    with pytest.raises((TypeError, ValueError), match="learning_rate"):
        gl.sgd(bad)


def test_nan_is_refused():
    with pytest.raises(ValueError, match=r"sgd: learning_rate=nan is NaN"):
        gl.sgd(float("nan"))


def test_out_of_range_names_argument_value_and_bound():
    with pytest.raises(ValueError, match=r"adamw: b1=1\.0 is outside \[0, 1\)"):
        gl.adamw(1e-3, b1=1.0)


def test_misspelt_keyword_shows_the_nearest():
    with pytest.raises(TypeError, match="weight_decay"):
        gl.adamw(1e-3, weight_dekay=0.1)


def test_equal_configurations_are_equal_and_hash_alike():
    assert gl.adamw(1e-3) == gl.adamw(0.001)
    assert (gl.adamw(1e-3) != gl.adamw(0.001)) is False
    assert gl.adamw(1e-3) != gl.adamw(2e-3)
    assert gl.adamw(1e-3) != gl.adam(1e-3)
    assert hash(gl.adamw(1e-3)) == hash(gl.adamw(1e-3))
    assert jax.tree.structure(gl.adamw(1e-3)) == jax.tree.structure(gl.adamw(2e-3))


@pytest.mark.parametrize(
    "clone", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))]
)
def test_copies_equal_the_original(clone):
    opt = gl.chain(gl.clip_by_global_norm(1.0), gl.adamw(gl.linear_schedule(1.0, 0.0, 10)))
    assert clone(opt) == opt
    assert type(clone(opt)) is gl.Transform


def test_replace_of_the_tuple_points_to_gradlab_replace():
    with pytest.raises(TypeError, match=r"gradlab\.replace"):
        gl.sgd(0.1)._replace(init=None)


def test_repr_can_be_pasted():
    schedule = gl.warmup_cosine_decay_schedule(0.0, 1e-3, 10, 100)
    for opt in (
        gl.adamw(1e-3, b1=0.8, nesterov=True, mu_dtype="bfloat16"),
        gl.chain(gl.clip_by_global_norm(1.0), gl.sgd(schedule, momentum=0.9), strict=True),
        gl.named_chain(("clip", gl.clip_by_global_norm(1.0)), ("step", gl.sgd(0.1))),
        gl.adamw(1e-3, mask={"w": True, "b": False}),
    ):
        assert eval(repr(opt), vars(gl).copy()) == opt


def test_repr_shows_every_hyperparameter_and_no_default_flag():
    text = (
        "adamw(learning_rate=0.001, b1=0.9, b2=0.999, eps=1e-08, eps_root=0.0, weight_decay=0.0001)"
    )
    assert repr(gl.adamw(1e-3)) == text


def test_array_hyperparameters_compare_by_value_and_say_why_they_do_not_hash():
    sweep = gl.stack([gl.sgd(0.1), gl.sgd(0.2)])
    assert sweep == gl.stack([gl.sgd(0.1), gl.sgd(0.2)])
    assert sweep != gl.stack([gl.sgd(0.1), gl.sgd(0.3)])
    with pytest.raises(TypeError, match=r"learning_rate is an array of shape \(2,\).*gradlab"):
        hash(sweep)


def test_traced_optimizers_say_how_to_be_passed():
    @jax.jit
    def compare(opt):
        return opt == gl.sgd(0.1)

    with pytest.raises(TypeError, match="ordinary argument"):
        compare(gl.sgd(0.2))


def test_printers_of_other_libraries_show_the_hyperparameters():
    opt = gl.sgd(0.125)
    assert "sgd(learning_rate=0.125)" in eqx.tree_pformat({"opt": opt})
    assert "sgd(learning_rate=0.125)" in treescope.render_to_text(opt)


def test_flax_serialises_the_hyperparameters_and_restores_them():
    opt = gl.chain(gl.clip_by_global_norm(1.0), gl.sgd(0.125, momentum=0.5))
    stored = flax.serialization.msgpack_restore(flax.serialization.to_bytes(opt))
    assert stored == {
        "links[0].max_norm": 1.0,
        "links[1].learning_rate": 0.125,
        "links[1].momentum": 0.5,
    }
    other = gl.replace(opt, learning_rate=0.5, max_norm=2.0)
    assert flax.serialization.from_bytes(other, flax.serialization.to_bytes(opt)) == opt


def test_a_dict_a_list_and_an_array_can_be_static():
    for mask in ({"w": True}, [True, False], np.array([True])):
        opt = gl.adamw(1e-3, mask=mask)
        assert hash(opt) == hash(gl.adamw(1e-3, mask=copy.deepcopy(mask)))


def test_paths_that_jax_prints_are_those_that_replace_takes():
    opt = gl.chain(gl.clip_by_global_norm(1.0), gl.adamw(1e-3))
    for path, leaf in jax.tree_util.tree_leaves_with_path(opt):
        name = jax.tree_util.keystr(path).lstrip(".")
        assert gl.hyperparameters(gl.replace(opt, {name: leaf / 2}))[name] == leaf / 2


def test_hyperparameters_are_attributes():
    assert gl.adamw(1e-3).b1 == 0.9
    assert gl.chain(gl.sgd(0.5)).links[0].learning_rate == 0.5
    with pytest.raises(AttributeError, match="momentun"):
        _ = gl.sgd(0.1).momentun


def test_rules_can_be_built_from_anything_that_jax_puts_into_trees():
    opt = gl.adamw(1e-3)
    treedef = jax.tree.structure(opt)
    assert treedef.unflatten([None] * treedef.num_leaves).b1 is None
    assert jax.tree.map(lambda x: -x, opt).b1 == -0.9
    assert treedef.unflatten([object()] * treedef.num_leaves) is not None


def test_only_some_hyperparameters_take_a_schedule():
    for schedule in (lambda count: 0.9, gl.constant_schedule(0.9)):
        with pytest.raises(TypeError, match="adam: b1 takes a number, not a schedule"):
            gl.adam(1e-3, b1=schedule)
        assert callable(gl.adam(schedule).learning_rate)


def test_flax_serialises_also_where_somebody_asked_for_fields_before_it_was_loaded():
    code = """
import sys
import gradlab as gl
opt = gl.sgd(0.125)
assert not hasattr(opt, "_fields")
assert "flax" not in sys.modules
import flax.serialization
print(flax.serialization.to_state_dict(opt))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.stdout.strip() == "{'learning_rate': 0.125}", run.stderr
