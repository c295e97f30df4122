"""The numbers of other packages for the same derivatives, as they are stored."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradlab as gl
from gradlab import core
from gradlab.testing._subject import compiled_once
from tests.reference.load import values

UNROLLED = {found.name: found for found in values("unroll")}
IMPLICIT = {found.name: found for found in values("implicit_hypergradient")}
EVOLUTION = {
    found.name: found
    for method in ("evolution_strategies", "persistent_evolution_strategies")
    for found in values(method)
}
BILEVEL = {
    found.method: found
    for method in ("f2sa", "lv_hba", "sl_bamm", "bsvrb")
    for found in values(method)
}
ROOTS = {
    **{found.name: found for found in values("custom_fixed_point")},
    "jaxopt_implicit_hypergradient_cg": IMPLICIT["jaxopt_implicit_hypergradient_cg"],
}


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def without(settings, *names):
    return {name: value for name, value in settings.items() if name not in names}


def unrolled(opt, given):
    """The outer loss after training, the last parameters, and the derivatives by all inputs."""
    names = ("params", "weights", "strength")
    features, labels, rows = (jnp.asarray(given[k]) for k in ("features", "labels", "rows"))

    def value(opt, params, weights, strength):
        def loss(x, now):
            each = jax.nn.softplus(-labels[now] * (features[now] @ x))
            return jnp.sum(weights[now] * each) / 8 + strength / 2 * x @ x

        last = gl.meta.unroll(opt, loss, params, rows).params
        return jnp.mean(jax.nn.softplus(-labels[14:] * (features[14:] @ last))), last

    run = compiled_once(jax.value_and_grad(value, argnums=(0, 1, 2, 3), has_aux=True))
    (value, last), (by_opt, *by_rest) = run(opt, *(given[k] for k in names))
    found = dict(zip(names, by_rest, strict=True)) | gl.hyperparameters(by_opt)
    found = {f"grad_{k}": g for k, g in found.items() if f"grad_{k}" in given}
    return {"value": value, "last": last, **found}


@pytest.mark.parametrize("name", [k for k, stored in UNROLLED.items() if stored.agrees])
def test_unrolled_hypergradients_are_those_of_packages_for_torch(name):
    stored = UNROLLED[name]
    opt = getattr(gl, stored.settings["optimizer"])(**without(stored.settings, "optimizer"))
    found = unrolled(opt, stored.arrays)
    # Each derivative that the package gave has been compared.
    assert found.keys() == {k for k in stored.arrays if k in ("value", "last") or k[:5] == "grad_"}
    stored.compare(found)


def test_where_the_package_has_eps_elsewhere_that_is_all_there_is():
    stored = UNROLLED["higher_unroll_adam_eps"]
    b1, b2, eps, rate = (stored.settings[k] for k in ("b1", "b2", "eps", "learning_rate"))

    def init(x):
        return jnp.zeros([]), jnp.zeros_like(x), jnp.zeros_like(x)

    def update(g, state, params=None):
        count, m, v = state[0] + 1, b1 * state[1] + (1 - b1) * g, b2 * state[2] + (1 - b2) * g**2
        step = rate * jnp.sqrt(1 - b2**count) / (1 - b1**count)
        return -step * m / (jnp.sqrt(v) + eps), (count, m, v)

    moved = core.adopt_transform(optax.GradientTransformation(init, update), "test")
    stored.compare(unrolled(moved, stored.arrays))
    ours = unrolled(gl.adam(**without(stored.settings, "optimizer")), stored.arrays)
    with pytest.raises(AssertionError, match="grad_learning_rate"):
        stored.compare({"grad_learning_rate": ours["grad_learning_rate"]})


def regression(given):
    """The two objectives of the implicit hypergradients, and the point."""
    features, labels = jnp.asarray(given["features"]), jnp.asarray(given["labels"])

    def each(x, rows):
        return jax.nn.softplus(-labels[rows] * (features[rows] @ x))

    def inner(hyper, x):
        data = jnp.sum(hyper["weights"] * each(x, slice(14))) / 14
        return data + hyper["strength"] / 2 * x @ x

    def outer(hyper, x):
        return jnp.mean(each(x, slice(14, None))) + hyper["strength"] ** 2 / 10

    hyper = {name: jnp.asarray(given[name]) for name in ("weights", "strength")}
    return outer, inner, hyper, jnp.asarray(given["solution"])


def implicit(stored):
    """The derivatives, for each number of steps that is stored if there are several."""
    outer, inner, hyper, x = regression(stored.arrays)
    settings = stored.settings | {"on_failure": "ignore"}
    if "steps" not in stored.arrays:
        exact = {} if settings["solver"] in ("dense", "one_step") else {"tolerance": 1e-12}
        ways = [gl.meta.implicit_hypergradient(**settings, **exact)]
    else:
        counts = [int(k) for k in stored.arrays["steps"]]
        limit = {"steps"} if settings["solver"] == "neumann" else {"max_steps"}
        more = {} if "steps" in limit else {"tolerance": 0.0}
        ways = [
            gl.meta.implicit_hypergradient(**settings, **more, **dict.fromkeys(limit, k))
            for k in counts
        ]
    run = compiled_once(lambda h, x: [way(outer, inner, h, x).hypergradient for way in ways])
    each = run(hyper, x)
    found = jax.tree.map(lambda *g: np.stack(g), *each) if len(each) > 1 else each[0]
    return {f"grad_{name}": g for name, g in found.items()}


@pytest.mark.parametrize("name", [k for k, stored in IMPLICIT.items() if stored.agrees])
def test_implicit_hypergradients_are_those_of_other_packages_step_by_step(name):
    IMPLICIT[name].compare(implicit(IMPLICIT[name]))


def test_of_the_package_whose_conjugate_gradients_keep_the_old_residual_the_first_step_is_ours():
    stored = IMPLICIT["betty_ml_implicit_hypergradient_cg"]
    theirs = stored.arrays["grad_strength"]
    ours = implicit(stored)["grad_strength"]
    np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-10)
    assert np.all(np.abs(ours[1:] - theirs[1:]) > 0.01)

    outer, inner, hyper, place = regression(stored.arrays)
    hessian = np.asarray(compiled_once(jax.hessian(inner, argnums=1))(hyper, place))
    direct, slope = compiled_once(jax.grad(outer, argnums=(0, 1)))(hyper, place)
    x, r = np.zeros(6), np.asarray(slope)
    p, found = r, []
    for _ in range(max(stored.arrays["steps"])):
        alpha = r @ r / (p @ hessian @ p)
        x, r, old = x + alpha * p, r - alpha * hessian @ p, r
        p = old + (r @ r) / (old @ old) * p
        found.append(direct["strength"] - place @ x)
    np.testing.assert_allclose(np.array(found)[stored.arrays["steps"] - 1], theirs, rtol=1e-10)


@pytest.mark.parametrize("name", ROOTS)
def test_roots_and_fixed_points_have_the_derivatives_of_other_packages(name):
    stored = ROOTS[name]
    outer, inner, hyper, x = regression(stored.arrays)
    slope = jax.grad(inner, argnums=1)
    solver = gl.meta.linear_solver(stored.settings["solver"], tolerance=1e-12)
    if stored.method == "custom_fixed_point":
        rate = stored.settings["learning_rate"]
        wrap = gl.meta.custom_fixed_point(lambda x, h: x - rate * slope(h, x), solver=solver)
    else:
        wrap = gl.meta.custom_root(lambda x, h: slope(h, x), solver=solver)
    solve = wrap(lambda init, hyper: x)
    found = compiled_once(jax.grad(lambda h: outer(h, solve(x, h))))(hyper)
    stored.compare({f"grad_{name}": g for name, g in found.items()})


class Descent:
    """Steps towards moving targets, whose sizes are theta."""

    def __init__(self, curvature, targets, start, **_):
        self.curvature, self.targets = jnp.asarray(curvature), jnp.asarray(targets)
        self.start = jnp.asarray(start)

    def init(self, theta, key):
        return self.start, jnp.zeros([], jnp.int32)

    def step(self, theta, state, key):
        x, t = state
        off = x - self.targets[t]
        loss = jnp.sum(self.curvature * off**2) / 2
        return (x - jnp.exp(theta) * self.curvature * off, t + 1), loss


@pytest.mark.parametrize("name", EVOLUTION)
def test_evolution_strategies_are_those_of_other_packages_on_the_same_draws(name, monkeypatch):
    stored = EVOLUTION[name]
    problem, theta = Descent(**stored.arrays), jnp.asarray(stored.arrays["theta"])
    strategy = getattr(gl.meta, stored.method)(**stored.settings)

    def estimate(state, draws):
        monkeypatch.setattr(jax.random, "normal", lambda key, shape, dtype: draws.reshape(shape))
        (gradient, _), state = strategy.estimate(problem, theta, state, jax.random.key(0))
        return state, gradient

    draws = jnp.asarray(stored.arrays["draws"])
    unrolls = draws if stored.package == "learned_optimization" else draws[None]
    run = compiled_once(lambda state, draws: jax.lax.scan(estimate, state, draws)[1])
    found = run(strategy.init(problem, theta, jax.random.key(0)), unrolls)
    if stored.package == "learned_optimization":  # means over the steps of an unroll, not sums
        found = found / strategy.length
    stored.compare({"gradients": found.reshape(stored.arrays["gradients"].shape)})


def two_levels(a):
    """The problem of the methods with one inner problem, and its batches: none."""

    def outer(x, y, batch):
        off = y - a["target"] - a["D"] @ x
        return off @ off / 2 + 0.1 * x @ x

    def inner(x, y, batch):
        off = y - a["B"] @ x - a["offset"]
        return off @ a["A"] @ off / 2 + jnp.sum(jnp.log(jnp.cosh(y - a["E"] @ x)))

    def excess(x, y):
        return a["a"] @ x + a["b"] @ y - a["level"]

    def project(x, y):
        over = jnp.maximum(excess(x, y), 0) / (a["a"] @ a["a"] + a["b"] @ a["b"])
        return x - over * a["a"], y - over * a["b"]

    constrained = {"constraints": excess, "project": project} if "a" in a else {}
    return gl.meta.BilevelProblem(outer, inner, **constrained), None


def merely_convex(a):
    """The authors' problem, whose inner objective leaves half of the inner variables open."""
    return gl.meta.BilevelProblem(
        outer=lambda x, y, batch: jnp.sum((x - y[1]) ** 2) / 2 + jnp.sum((y[0] - 1) ** 2) / 2,
        inner=lambda x, y, batch: jnp.sum(y[0] ** 2) / 2 - x @ y[0],
    ), None


def two_blocks(a):
    """The problem of the method with several inner problems, and its batches."""

    def error(y, kind, rows, block):
        z = jnp.concatenate([jnp.ones_like(a[kind + "labels"][rows])[:, None],
                             a[kind + "features"][rows]], axis=1)  # fmt: skip
        return z @ y - a[kind + "labels"][rows] - block

    def outer(x, y, batch):
        return jnp.mean(error(y, "", *batch) ** 2) / 2

    def inner(x, y, batch):
        fit = jnp.mean(jax.nn.sigmoid(x[batch[0]]) * error(y, "train_", *batch) ** 2) / 2
        return fit + y @ y / 4

    blocks = jnp.tile(jnp.arange(2), (len(a["train"]), 1))
    batches = gl.meta.Batches((a["valid"], blocks), (a["train"], blocks))
    return gl.meta.BilevelProblem(outer, inner), batches


@pytest.mark.parametrize("name", BILEVEL)
def test_steps_on_bilevel_problems_are_those_of_other_programs(name):
    stored = BILEVEL[name]
    given = {k: jnp.asarray(v) for k, v in stored.arrays.items()}
    made = {"bsvrb": two_blocks, "sl_bamm": merely_convex}.get(name, two_levels)
    problem, batches = made(given)
    rates = {}
    if name == "sl_bamm":  # its program searches this one
        rates["multiplier_learning_rate"] = lambda count: given["steps"][count]
    method = getattr(gl.meta, name)(**stored.settings, **rates)

    def step(state, batch):
        state = method.step(problem, state, batch, jax.random.key(0))
        return state, (state.x, state.y)

    def run(x, y):
        length = len(stored.arrays["x"]) - 1
        return jax.lax.scan(step, method.init(problem, x, y), batches, length=length)[1]

    x, y = compiled_once(run)(given["x"][0], given["y"][0])
    found = {"x": np.concatenate([given["x"][:1], x]), "y": np.concatenate([given["y"][:1], y])}
    assert np.ptp(found["x"], axis=0).min() > 0.01
    stored.compare(found)
