"""Muon: the paper's numbers, optax's state and numbers, odd parameters, one call a shape."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from optax.contrib import MuonDimensionNumbers as Numbers

import gradlab as gl
from gradlab import linalg
from tests import agreement
from tests.reference.load import curves


def on_one_matrix(opt):
    """The optimizer with only that part of its state that a matrix has."""

    def init(params):
        return opt.init(params).inner_states["muon"].inner_state

    def update(updates, state, params):
        whole = opt.init(params)
        whole.inner_states["muon"] = optax.MaskedState(state)
        updates, whole = opt.update(updates, whole, params)
        return updates, whole.inner_states["muon"].inner_state

    return optax.GradientTransformation(init, update)


OPTIONS = {
    "defaults": {},
    "plain": {"nesterov": False, "adaptive": True, "ns_steps": 3},
    "aol": {"preconditioning": "aol", "ns_coeffs": "dion", "consistent_rms": 0.2},
    "spectral, masked": {
        "preconditioning": "spectral",
        "weight_decay": 0.1,
        "weight_decay_mask": {"a": True, "b": False, "c": False},
    },
    "schatten, scheduled": {
        "preconditioning": "schatten",
        "learning_rate": optax.linear_schedule(0.1, 0.0, 50),
        "adam_learning_rate": 0.3,
        "adam_weight_decay": 0.1,
        "muon_weight_dimension_numbers": lambda p: {"a": None, "b": None, "c": Numbers()},
    },
    "axes": {
        "muon_weight_dimension_numbers": {
            "a": Numbers(),
            "b": None,
            "c": [None, Numbers((0, 1), 2)],
        }
    },
}


def parameters():
    draw = np.random.default_rng(0)

    def array(*shape):
        return jnp.asarray(draw.normal(size=shape), jnp.float32)

    return {"a": array(6, 4), "b": array(4), "c": [array(4, 6), array(2, 3, 5)]}


def gradients(steps):
    draw = np.random.default_rng(1)
    base = [draw.normal(size=(1, *p.shape)) for p in jax.tree.leaves(parameters())]
    values = [b + draw.normal(size=(steps, *b.shape[1:])) for b in base]
    tree = jax.tree.structure(parameters())
    return tree.unflatten([jnp.asarray(v, jnp.float32) for v in values])


@pytest.mark.parametrize("name", OPTIONS)
def test_state_and_numbers_are_optax_s(name):
    options = {"learning_rate": 0.02, **OPTIONS[name]}
    ours, theirs = gl.muon(**options), optax.contrib.muon(**options)
    mine, other = (agreement.open_loop(opt, gradients(100), parameters()) for opt in (ours, theirs))
    assert jax.tree.structure(mine) == jax.tree.structure(other)
    for a, b in zip(jax.tree.leaves(mine[1]), jax.tree.leaves(other[1]), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=1e-6)
    for a, b in zip(jax.tree.leaves(mine[0]), jax.tree.leaves(other[0]), strict=True):
        # Five iterations magnify what a sum in another order leaves in the last bit.
        np.testing.assert_allclose(a, b, atol=5e-6 * np.max(np.abs(b)))


@pytest.mark.parametrize("shape", [(4, 6), (6, 4), (5, 5)])
@pytest.mark.parametrize(
    "settings",
    [
        {"weight_decay": 0.1},
        {"nesterov": False, "adaptive": True, "beta": 0.8},
        {"preconditioning": "aol", "ns_coeffs": "dion", "consistent_rms": 0.2},
        {"preconditioning": "schatten", "ns_steps": 3},
    ],
)
def test_the_paper(settings, shape):
    opt, settings = on_one_matrix(gl.muon(0.02, **settings)), {"learning_rate": 0.02, **settings}
    agreement.assert_matches_paper(opt, "muon", shape=shape, **settings)


@pytest.mark.parametrize("curve", curves("muon"), ids=lambda c: c.name)
def test_other_packages(curve):
    agreement.assert_matches_reference(on_one_matrix(gl.muon(**curve.settings)), curve)


def test_hyperparameters_have_the_names_of_the_signature():
    opt = gl.muon(0.02, adam_learning_rate=1e-3, consistent_rms=0.2)
    names = set(gl.hyperparameters(opt))
    assert {"learning_rate", "ns_coeffs[2]", "beta", "adam_b1", "adam_learning_rate"} <= names
    assert gl.replace(opt, {"ns_coeffs[0]": 3.0}).ns_coeffs == (3.0, -4.775, 2.0315)
    rows = gl.muon(0.02, ns_coeffs="dion")
    assert gl.hyperparameters(rows)["ns_coeffs[4][2]"] == 1.2012
    assert hash(rows) == hash(gl.muon(0.02, ns_coeffs="dion"))


def test_schedules_can_be_read():
    rate = gl.linear_schedule(1.0, 0.0, 10)
    opt = gl.muon(rate, adam_learning_rate=0.5, adam_weight_decay=rate)
    now = gl.current(opt, opt.init(parameters()))
    assert now["learning_rate"] == 1.0
    assert now["adam_weight_decay"] == 1.0
    assert now["adam_learning_rate"] == 0.5


def test_equal_shapes_are_iterated_together(monkeypatch):
    calls = []
    real = linalg.newton_schulz

    def counted(x, *args, **kwargs):
        calls.append(x.shape)
        return real(x, *args, **kwargs)

    monkeypatch.setattr(linalg, "newton_schulz", counted)
    params = {
        "wide": jnp.ones((5, 3, 4)),
        "tall": [jnp.ones((4, 3))] * 2,
        "square": jnp.ones((3, 3)),
    }
    spec = {"wide": Numbers(1, 2), "tall": Numbers(), "square": Numbers()}
    opt = gl.muon(0.1, muon_weight_dimension_numbers=spec)
    opt.update(params, opt.init(params), params)
    assert sorted(calls) == [(1, 3, 3), (7, 3, 4)]


def test_a_zero_matrix_stays_and_its_hypergradients_are_finite():
    params = {"dead": jnp.zeros((3, 4)), "live": jnp.ones((3, 4)), "bias": jnp.zeros(2)}

    def end(opt):
        state, p = opt.init(params), params
        for _ in range(3):
            updates, state = opt.update({**p, "bias": p["bias"]}, state, p)
            p = optax.apply_updates(p, updates)
        return sum(jnp.sum(x**2) for x in jax.tree.leaves(p)), p

    slopes, p = jax.jit(jax.grad(end, has_aux=True))(gl.as_arrays(gl.muon(0.1)))
    assert not p["dead"].any()
    assert all(jnp.isfinite(x) for x in jax.tree.leaves(slopes))


def test_parameters_that_are_missing_empty_or_complex():
    params = {"none": None, "empty": jnp.zeros((0, 3)), "z": jnp.ones((2, 3), jnp.complex64) * 1j}
    opt = gl.muon(0.1)
    updates, state = opt.update(params, opt.init(params), params)
    assert updates["none"] is None
    assert updates["empty"].shape == (0, 3)
    assert jnp.abs(updates["z"]).min() > 0.01
    assert updates["z"].dtype == jnp.complex64
    frozen = {**params, "z": None}
    updates, after = opt.update(frozen, state, params)
    assert updates["z"] is None
    assert jax.tree.structure(after) == jax.tree.structure(state)


def test_what_cannot_be_is_said_with_its_path():
    params = {"layer": {"kernel": jnp.ones((2, 3)), "bias": jnp.ones(3)}}
    wrong = gl.muon(0.1, muon_weight_dimension_numbers=Numbers())
    with pytest.raises(ValueError, match="layer/bias"):
        wrong.update(params, wrong.init(params), params)
    other = gl.muon(0.1, muon_weight_dimension_numbers={"head": Numbers()})
    with pytest.raises(ValueError, match="'head'"):
        other.init(params)
    twice = gl.scale_by_muon(weight_dimension_numbers=Numbers(0, -2))
    with pytest.raises(ValueError, match="twice"):
        twice.update(jnp.ones((2, 3)), twice.init(jnp.ones((2, 3))))
    with pytest.raises(ValueError, match="dion"):
        gl.muon(0.1, ns_coeffs="dionn")
    with pytest.raises(ValueError, match="5 rows"):
        gl.muon(0.1, ns_coeffs="dion", ns_steps=4)
    with pytest.raises(ValueError, match=r"\[0, 1\)"):
        gl.muon(0.1, beta=1.0)


def test_mask_is_another_name_of_weight_decay_mask():
    params = {"a": jnp.ones((2, 3)), "b": jnp.ones((3, 2))}
    mask = {"a": True, "b": False}
    same = gl.muon(0.1, weight_decay=0.5, mask=mask)
    other = gl.muon(0.1, weight_decay=0.5, weight_decay_mask=mask)
    ours, theirs = (opt.update(params, opt.init(params), params)[0] for opt in (same, other))
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)
    with pytest.raises(ValueError, match="not both"):
        gl.muon(0.1, mask=mask, weight_decay_mask=mask)


def test_rows_of_coefficients_are_replaced_whole():
    rows = ((1.0, 2.0, 3.0), (4.0, 5.0, 6.0))
    assert gl.replace(gl.muon(0.1), ns_coeffs=rows).ns_coeffs == rows
