"""What is measured of a step, and that measuring changes nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab as gl
from gradlab import testing

PARAMS = {"body": {"w": jnp.array([3.0, 4.0])}, "head": jnp.array([[2.0, 0.0]])}
GRADS = {"body": {"w": jnp.array([0.0, 3.0])}, "head": jnp.array([[4.0, 0.0]])}
CLIPPED = gl.chain(gl.clip_by_global_norm(1.0), gl.sgd(0.5))


def measured(opt, grads=GRADS, params=PARAMS):
    updates, state = jax.jit(opt.update)(grads, opt.init(params), params)
    return updates, gl.measurements(opt, state)


def test_gradient_norms_are_those_before_and_after_clipping():
    _, seen = measured(gl.watch(CLIPPED))
    assert seen["gradient_norm"] == pytest.approx(5.0)
    assert seen["clipped_gradient_norm"] == pytest.approx(1.0)


def test_without_a_link_that_clips_both_norms_are_equal():
    _, seen = measured(gl.watch(gl.adam(0.1)))
    assert seen["gradient_norm"] == seen["clipped_gradient_norm"] == pytest.approx(5.0)


@pytest.mark.parametrize(
    "clip", [gl.adaptive_grad_clip(0.01), gl.clip_largest_coordinates(0.5)], ids=repr
)
def test_every_transform_that_clips_is_seen(clip):
    _, seen = measured(gl.watch(gl.named_chain(("clip", clip), ("step", gl.sgd(1.0)))))
    step, _ = clip.update(GRADS, clip.init(PARAMS), PARAMS)
    assert seen["clipped_gradient_norm"] == pytest.approx(float(gl.global_norm(step)))
    assert seen["clipped_gradient_norm"] < seen["gradient_norm"]


def test_the_last_link_that_clips_decides():
    twice = gl.chain(gl.clip_by_global_norm(2.0), CLIPPED)
    assert measured(gl.watch(twice))[1]["clipped_gradient_norm"] == pytest.approx(1.0)


def test_update_to_parameter_ratios_are_told_for_each_group():
    _, seen = measured(gl.watch(CLIPPED, gl.by_path({"head": "head"}, "rest")))
    assert set(seen["update_ratios"]) == {"head", "rest"}
    assert seen["update_ratios"]["rest"] == pytest.approx(0.5 * (3 / 5) / 5)
    assert seen["update_ratios"]["head"] == pytest.approx(0.5 * (4 / 5) / 2)
    assert seen["param_norms"]["rest"] == pytest.approx(5.0)
    assert seen["update_norms"]["head"] == pytest.approx(0.4)


def test_a_parameter_without_a_group_is_named():
    with pytest.raises(ValueError, match=r"watch: groups has no label .* body/w"):
        gl.watch(CLIPPED, {"head": "head"}).init(PARAMS)


def test_numbers_and_steps_that_are_not_finite_are_counted():
    opt = gl.watch(gl.apply_if_finite(CLIPPED, 5))
    broken = {"body": {"w": jnp.array([jnp.nan, jnp.inf])}, "head": GRADS["head"]}
    state = opt.init(PARAMS)
    for grads in (GRADS, broken, broken, GRADS):
        _, state = opt.update(grads, state, PARAMS)
    seen = gl.measurements(opt, state)
    assert (int(seen["nonfinite"]), int(seen["nonfinite_steps"])) == (0, 2)
    assert int(seen["skipped_steps"]) == 2
    _, state = opt.update(broken, state, PARAMS)
    assert int(gl.measurements(opt, state)["nonfinite"]) == 2


def test_steps_and_the_inner_state_are_the_same_bits():
    opt = gl.watch(CLIPPED)
    ours, state = jax.jit(opt.update)(GRADS, opt.init(PARAMS), PARAMS)
    theirs, inner = jax.jit(CLIPPED.update)(GRADS, CLIPPED.init(PARAMS), PARAMS)
    assert jax.tree.all(jax.tree.map(np.array_equal, ours, theirs))
    assert jax.tree.structure(state.inner_state) == jax.tree.structure(inner)


def test_switched_off_the_compiled_program_is_that_of_the_inner_optimizer():
    off = gl.watch(gl.adamw(0.1), active=False)
    assert off == gl.adamw(0.1)
    opts = off, gl.adamw(0.1), gl.watch(gl.adamw(0.1))
    texts = [testing.compiled_step(opt, 50).as_text().split("\n", 1)[1] for opt in opts]
    assert texts[0] == texts[1] != texts[2]


def test_a_step_with_a_zero_parameter_has_a_finite_ratio():
    zeros = jax.tree.map(jnp.zeros_like, PARAMS)
    assert measured(gl.watch(CLIPPED), params=zeros)[1]["update_ratios"]["all"] == 0.0


def test_a_watch_is_found_inside_of_other_wrappers_and_groups():
    opt = gl.partition(
        {"a": gl.average_iterates(gl.watch(gl.sgd(0.1)), 0.5), "b": gl.sgd(0.1)},
        {"body": "a", "head": "b"},
    )
    assert measured(opt)[1]["gradient_norm"] == pytest.approx(3.0)


def test_nothing_measures_where_nothing_was_asked_for():
    opt = gl.adamw(0.1)
    assert gl.measurements(opt, opt.init(PARAMS)) == {}
