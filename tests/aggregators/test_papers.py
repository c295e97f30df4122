"""Every aggregator gives the numbers of its paper, and those of other people's code."""

import functools
import importlib
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab as gl
from gradlab.aggregators import _graddrop, _gradvac, _stacked
from tests.reference.load import curves

STEPS, ROWS, COLUMNS = 6, 4, 7


@functools.cache
def stacks():
    """Independent gradients of several lengths, all with a direction in common."""
    draw = np.random.default_rng(5)
    common = draw.normal(size=COLUMNS)
    values = draw.normal(size=(STEPS, ROWS, COLUMNS)) + 0.7 * common
    return values * np.array([1.0, 0.3, 2.0, 0.7])[:, None]


@functools.cache
def losses():
    return np.random.default_rng(6).uniform(0.2, 2, (STEPS, ROWS))


def run(opt, values, losses=None):
    """The updates of all steps in float64, from one compiled scan."""
    with jax.enable_x64(True):
        needed = {"losses": losses} if "losses" in opt.rule.required() else {}

        def step(state, row):
            stack, extra = row
            update, state = opt.update(stack, state, jnp.zeros(stack.shape[1]), **extra)
            return state, update

        needed = {name: jnp.asarray(x) for name, x in needed.items()}
        state = opt.init(jnp.zeros(values.shape[2]))
        scan = jax.jit(lambda s, rows: jax.lax.scan(step, s, rows))
        state, updates = scan(state, (jnp.asarray(values), needed))
        if hasattr(state, "unsolved"):
            assert state.unsolved == 0
        return np.asarray(updates)


def paper_of(name, values, losses, settings):
    method = getattr(importlib.import_module(f"tests.paper.{name}"), name)
    arguments = (values, losses) if "losses" in inspect.signature(method).parameters else (values,)
    if "stacks" in inspect.signature(method).parameters:
        return np.array(list(method(*arguments, **settings)))
    return np.array([method(matrix, **settings) for matrix in values])


ARGUMENTS = {
    "mean_gradient": {},
    "sum_gradient": {},
    "constant_weights": {"weights": (0.5, -1.0, 2.0, 0.0)},
    "mgda": {},
    "cagrad": {"c": 0.4},
    "imtl_g": {},
    "nash_mtl": {"max_norm": 1.5},
    "aligned_mtl": {},
    "config": {},
    "dualproj": {},
    "krum": {"n_byzantine": 1, "n_selected": 2},
    "trimmed_mean": {},
    "coordinate_median": {},
    "winsorized_mean": {},
    "fairgrad": {"alpha": 2.5},
    "excess_mtl": {"step_size": 0.2, "n_warmup_steps": 2},
    "modo": {"step_size": 0.03, "rho": 0.2, "samples": 1},
    "sdmgrad": {
        "step_size": 0.4,
        "strength": 0.3,
        "momentum": 0.5,
        "iterations": 7,
        "samples": 1,
    },
    "geometric_median": {"eps": 0.1, "iterations": 12},
    "rotograd": {"burn_in_period": 2},
    "uncertainty_weighting": {"learning_rate": 0.3},
    "gradnorm": {"learning_rate": 0.02, "alpha": 1.2},
    "bloop": {"weight": 0.4, "b1": 0.8},
    "agem": {},
    "plwf_credit_assignment": {},
    "orthogonal_backward": {"eta": 0.7},
    "per_class_normalized_mean": {},
    "alternating_tasks": {"steps_each": 2},
    "gradient_harmonization": {"threshold": -0.4},
    "pcd": {"tau": 0.3, "b2": 0.8, "eps_root": 0.01},
}


def build(name, rows, settings):
    make = getattr(gl, name)
    if "objectives" in inspect.signature(make).parameters:
        settings = {"objectives": rows // settings.get("samples", 1), **settings}
    return make(**settings)


@pytest.mark.parametrize("name", ARGUMENTS)
def test_the_paper(name):
    settings = ARGUMENTS[name]
    ours = run(build(name, ROWS, settings), stacks(), losses())
    theirs = paper_of(name, stacks(), losses(), settings)
    np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-10)


def test_the_stacks_have_conflicts_and_no_method_is_a_mean_of_all():
    grams = np.einsum("tik,tjk->tij", stacks(), stacks())
    assert grams.min() < -1
    assert (grams.min(axis=(1, 2)) < 0).sum() >= 5


def test_other_samples_of_double_sampling():
    noise = 0.3 * np.random.default_rng(7).normal(size=(2, STEPS, ROWS, COLUMNS))
    parts = [stacks(), stacks() + noise[0], stacks() + noise[1]]
    for name in ("modo", "sdmgrad"):
        for samples in (2, 3):
            values = np.concatenate(parts[:samples], axis=1)
            settings = ARGUMENTS[name] | {"samples": samples}
            ours = run(build(name, ROWS * samples, settings), values)
            np.testing.assert_allclose(ours, paper_of(name, values, None, settings), rtol=1e-10)
    with pytest.raises(ValueError, match="6 objectives, but there are 4"):
        run(gl.modo(3, samples=2), stacks())


def test_crmogm_is_the_papers():
    values = stacks()[:, :3] * np.eye(3, COLUMNS)  # orthogonal, for which MGDA is explicit
    ours = run(gl.crmogm(gl.mgda(), 3, 0.7), values)
    theirs = paper_of("crmogm", values, None, {"b1": 0.7})
    np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-12)
    same = run(gl.crmogm(gl.mgda(), 3, 0.0), values)
    np.testing.assert_allclose(same, run(gl.mgda(), values), rtol=1e-12)
    with pytest.raises(TypeError, match="inner"):
        gl.crmogm(gl.trimmed_mean(), 3).init(jnp.zeros(2))


def test_random_weights_are_the_papers():
    opt = gl.random_weights(7)
    with jax.enable_x64(True):
        state = opt.init(jnp.zeros(COLUMNS))
        update, after = opt.update(jnp.asarray(stacks()[0]), state)
        draws = jax.random.normal(jax.random.split(state.key)[1], (ROWS,), jnp.float64)
    theirs = importlib.import_module("tests.paper.random_weights")
    np.testing.assert_allclose(update, theirs.random_weights(stacks()[0], draws), rtol=1e-10)
    assert not np.array_equal(after.key, state.key)


def test_graddrop_is_the_papers():
    theirs = importlib.import_module("tests.paper.graddrop").graddrop
    draws = np.random.default_rng(8).uniform(size=(STEPS, COLUMNS))
    with jax.enable_x64(True):
        for matrix, draw in zip(stacks(), draws, strict=True):
            ours = _graddrop.dropped(jnp.asarray(matrix), jnp.asarray(draw), jnp.float64(0.2))
            np.testing.assert_allclose(ours, theirs(matrix, draw, leak=0.2), rtol=1e-10, atol=1e-12)


def vaccinated(values, orders, b1, eps):
    """Updates of GradVac with given orders."""
    with jax.enable_x64(True):

        def step(usual, row):
            matrix, order = row
            gram = matrix @ matrix.T
            weights, usual = _gradvac.vaccinated(gram, order, usual, b1, eps)
            return usual, weights @ matrix

        rows = values.shape[1]
        scan = jax.jit(lambda *a: jax.lax.scan(step, jnp.zeros((rows, rows)), a)[1])
        return np.asarray(scan(jnp.asarray(values), jnp.asarray(orders, jnp.int32)))


def test_gradvac_is_the_papers():
    draw = np.random.default_rng(9)
    orders = np.array([[draw.permutation(ROWS) for _ in range(ROWS)] for _ in range(STEPS)])
    theirs = list(importlib.import_module("tests.paper.gradvac").gradvac(stacks(), orders, b1=0.6))
    ours = vaccinated(stacks(), orders, 0.6, 0.0)
    np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-12)


OTHERS = [
    "mean_gradient",
    "sum_gradient",
    "imtl_g",
    "config",
    "krum",
    "trimmed_mean",
    "dualproj",
    "mgda",
    "cagrad",
    "aligned_mtl",
    "modo",
    "sdmgrad",
    "excess_mtl",
    "fairgrad",
    "pcd",
]


@pytest.mark.parametrize(
    "curve", [c for name in OTHERS for c in curves(name)], ids=lambda c: c.name
)
def test_torchjd(curve):
    settings = dict(curve.settings)
    rows = curve.gradients.shape[1]
    if curve.method in ("modo", "sdmgrad"):
        settings["samples"] = 1
    ours = run(build(curve.method, rows, settings), curve.gradients)
    scale = np.abs(curve.gradients).max(axis=(1, 2))[:, None]
    # Where no direction is left, CAGrad's rule divides by zero; ours is zero then.
    defined = np.ones(len(ours), bool)
    if curve.method == "cagrad":
        defined = np.linalg.norm(ours, axis=1) > 0
        assert defined.sum() >= len(ours) - 1
    np.testing.assert_allclose(
        (ours / scale)[defined], (curve.updates / scale)[defined], rtol=curve.rtol, atol=curve.atol
    )
    if curve.method == "mgda":  # the shorter one is the better one
        norms = np.linalg.norm(ours, axis=1), np.linalg.norm(curve.updates, axis=1)
        assert np.all(norms[0] <= norms[1] * (1 + 1e-9) + 1e-7 * scale[:, 0])


def test_torchjd_with_nash_mtl():
    (curve,) = curves("nash_mtl")
    ours = run(gl.nash_mtl(9), curve.gradients)
    agreed = 0
    for matrix, mine, theirs in zip(curve.gradients, ours, curve.updates, strict=True):
        # Whether the weights that make this direction are one over its inner products.
        bargain = (1 / (matrix @ theirs)) @ matrix
        cosine = bargain @ theirs / np.linalg.norm(bargain) / np.linalg.norm(theirs)
        if cosine > 0.999 and np.linalg.norm(theirs) > 0.999:
            np.testing.assert_allclose(mine, theirs, rtol=curve.rtol, atol=curve.atol)
            agreed += 1
    assert agreed >= 8


def test_torchjd_with_mgda_stops_further_from_the_optimality_conditions():
    # The shortest vector u of a convex hull has <g, u> >= <u, u> for all its corners g.
    for curve in curves("mgda"):
        ours = run(gl.mgda(), curve.gradients)
        for matrix, mine in zip(curve.gradients, ours, strict=True):
            size = np.sum(matrix**2, axis=1).max()
            assert mine @ mine - np.min(matrix @ mine) <= 1e-12 * size
        gaps = [u @ u - np.min(m @ u) for m, u in zip(curve.gradients, curve.updates, strict=True)]
        assert max(gaps) > 1e-4  # the reason of the tolerance of these curves


def test_torchjd_with_cagrad_reaches_no_better_direction_in_the_ball():
    gains = []
    for curve in curves("cagrad"):
        ours = run(gl.cagrad(0.5), curve.gradients)
        for matrix, mine, theirs in zip(curve.gradients, ours, curve.updates, strict=True):
            if not mine.any():  # the kink, where the paper's rule divides by zero
                continue
            mean = matrix.mean(axis=0)
            radius = 0.5 * np.linalg.norm(mean)
            assert np.linalg.norm(mine - mean) <= radius * (1 + 1e-12)
            size = np.sum(matrix**2, axis=1).max()
            gains.append((np.min(matrix @ mine) - np.min(matrix @ theirs)) / size)
    assert min(gains) >= -1e-14
    assert max(gains) > 1e-6  # the reason of the tolerance of these curves


def test_torchjd_with_nash_mtl_misses_the_bargain_by_more():
    (curve,) = curves("nash_mtl")

    def error(matrix, u):
        weights = np.linalg.lstsq(matrix.T, u)[0]
        products = weights * (matrix @ u)
        return np.abs(products / products.mean() - 1).max()

    ours = run(gl.nash_mtl(9), curve.gradients)
    mine = [error(m, u) for m, u in zip(curve.gradients, ours, strict=True)]
    theirs = [error(m, u) for m, u in zip(curve.gradients, curve.updates, strict=True)]
    assert max(mine) <= 1e-12
    assert min(theirs) > 1e-9


@pytest.mark.parametrize("curve", curves("constant_weights"), ids=lambda c: c.name)
def test_torchjd_with_constant_weights(curve):
    ours = run(gl.constant_weights(curve.extra["weights"].tolist()), curve.gradients)
    np.testing.assert_allclose(ours, curve.updates, rtol=curve.rtol, atol=curve.atol)


@pytest.mark.parametrize("curve", curves("random_weights"), ids=lambda c: c.name)
def test_torchjd_with_random_weights(curve):
    for matrix, draw, expected in zip(
        curve.gradients, curve.extra["draws"], curve.updates, strict=True
    ):
        weights = np.asarray(jax.nn.softmax(jnp.asarray(draw)))
        np.testing.assert_allclose(weights @ matrix, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("curve", curves("graddrop"), ids=lambda c: c.name)
def test_torchjd_with_graddrop(curve):
    with jax.enable_x64(True):
        drop = jax.jit(jax.vmap(_graddrop.dropped, (0, 0, None)))
        ours = drop(*map(jnp.asarray, (curve.gradients, curve.extra["draws"], curve.extra["leak"])))
        np.testing.assert_allclose(ours, curve.updates, rtol=curve.rtol, atol=curve.atol)


@pytest.mark.parametrize("curve", curves("gradvac"), ids=lambda c: c.name)
def test_torchjd_with_gradvac(curve):
    ours = vaccinated(curve.gradients, curve.extra["orders"], 0.7, 0.0)
    np.testing.assert_allclose(ours, curve.updates, rtol=curve.rtol, atol=curve.atol)


def test_reductions():
    """What contains what."""
    values = stacks()
    mean, total = run(gl.mean_gradient(), values), run(gl.sum_gradient(), values)
    np.testing.assert_allclose(run(gl.cagrad(0.0), values), mean, rtol=1e-9)
    np.testing.assert_allclose(run(gl.trimmed_mean(0), values), mean, rtol=1e-12)
    np.testing.assert_allclose(run(gl.winsorized_mean(0), values), mean, rtol=1e-12)
    np.testing.assert_allclose(run(gl.graddrop(1.0), values), total, rtol=1e-12)
    np.testing.assert_allclose(run(gl.bloop(0.0), values), values[:, 0], rtol=1e-12)
    np.testing.assert_allclose(run(gl.orthogonal_backward(0.0), values), values[:, 0], rtol=1e-12)
    nash, fair = run(gl.nash_mtl(ROWS, 1e9), values), run(gl.fairgrad(1.0), values)
    np.testing.assert_allclose(nash, fair, rtol=1e-9)
    still = run(gl.gradnorm(ROWS, 0.0), values, losses())
    np.testing.assert_allclose(still, total, rtol=1e-12)
    # On two gradients of one task each, A-GEM projects what DualProj with that preference does.
    pair = values[:, :2]
    np.testing.assert_allclose(
        run(gl.agem(), pair), run(gl.dualproj([1.0, 0.0]), pair), rtol=1e-9, atol=1e-9
    )


def test_preferences():
    values = stacks()
    wanted = np.array([0.1, 1.0, 2.0, 0.5])
    units = values / np.linalg.norm(values, axis=2, keepdims=True)
    directions = run(gl.config(wanted.tolist()), values)
    cosines = np.einsum("tik,tk->ti", units, directions)
    np.testing.assert_allclose(cosines / cosines[:, :1], [wanted / wanted[0]] * STEPS, rtol=1e-8)
    # Preferences weigh gradients that are orthogonal and equally long.
    equal = np.broadcast_to(np.eye(ROWS, COLUMNS), (1, ROWS, COLUMNS))
    for make in (gl.aligned_mtl, gl.dualproj, gl.upgrad):
        found = run(make(wanted.tolist()), equal)[0]
        np.testing.assert_allclose(found, wanted @ equal[0], atol=1e-12, err_msg=make.__name__)
        opt = make([1.0, 2.0])
        state = opt.init(jnp.zeros(COLUMNS))
        with pytest.raises(ValueError, match=r"pref_vector has shape \(2,\) for 4 objectives"):
            opt.update(jnp.asarray(equal[0]), state)


def test_pcd_gives_the_others_their_share_and_the_first_one_its_length():
    values = stacks() - 1.2 * stacks().mean(axis=1, keepdims=True)[:, :, :1]
    shares = (0.1, 0.4, 0.0)
    updates = run(gl.pcd(ROWS, shares, 0.0, 0.0), values)
    np.testing.assert_allclose(
        np.linalg.norm(updates, axis=1), np.linalg.norm(values[:, 0], axis=1), rtol=1e-12
    )
    for matrix, u in zip(values, updates, strict=True):
        units = matrix / np.linalg.norm(matrix, axis=1, keepdims=True)
        # Before it was lengthened or shortened, the direction was the first one plus others.
        weights = np.linalg.lstsq(units.T, u)[0]
        products = units[1:] @ u / weights[0]
        assert np.all(products >= np.array(shares) - 1e-9)
        assert np.all(np.minimum(products - shares, weights[1:] / weights[0]) <= 1e-9)
    with pytest.raises(ValueError, match=r"tau has shape \(2,\) for 3 objectives after the first"):
        run(gl.pcd(ROWS, (0.1, 0.2)), values)


def test_pcd_drops_and_counts_constraints_that_no_direction_meets():
    opt = gl.pcd(3, 0.1)
    rows = jnp.array([[1.0, 1.0], [0.0, 1.0], [0.0, -2.0]])
    update, state = opt.update(rows, opt.init(jnp.zeros(2)))
    np.testing.assert_allclose(update, rows[0], rtol=1e-6)
    assert state.unsolved == 1
    # What is opposite to the first one and wants nothing leaves no direction at all.
    update, state = gl.pcd(2, 0.0).update(
        jnp.array([[1.0, 0.0], [-3.0, 0.0]]), opt.init(rows)._replace(squares=jnp.zeros(2))
    )
    np.testing.assert_array_equal(update, 0)


def test_the_gramian_is_all_that_a_weighting_sees():
    gram = _stacked.gramian(jnp.asarray(stacks()[0], jnp.float32))
    opt = gl.upgrad()
    weights, _ = gl.aggregators.weights_from_gramian(opt, gram, opt.init({}))
    update, _ = opt.update(jnp.asarray(stacks()[0], jnp.float32), opt.init({}))
    np.testing.assert_allclose(weights @ stacks()[0], update, rtol=1e-5, atol=1e-6)
    with pytest.raises(TypeError, match="trimmed_mean needs the gradients themselves"):
        gl.aggregators.weights_from_gramian(gl.trimmed_mean(), gram, ())


def test_credit_assignment_of_two_objectives_is_pcgrad():
    values = stacks()[:, :2]
    pcgrad = run(gl.pcgrad(key=0), values)
    np.testing.assert_allclose(run(gl.plwf_credit_assignment(), values), pcgrad, rtol=1e-12)
    assert (np.einsum("ti,ti->t", values[:, 0], values[:, 1]) < 0).any()
