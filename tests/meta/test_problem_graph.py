"""Problem graphs: total derivatives through every path of best responses, and steps of levels."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradlab as gl
from gradlab.testing._block_quadratic import BlockQuadratic
from gradlab.testing._subject import compiled_once
from tests.meta import ridge
from tests.paper import problem_graph as paper

meta = gl.meta
implicit = meta.implicit_hypergradient
NAMES = ("y", "z", "x")
SIZES = (3, 2, 2)
READS = {
    # x moves z, which moves y, which is what x is judged by.
    "chain": ((1,), (0, 2), (0,)),
    # What z is trained on are the weights y, which x moves: x never touches z itself.
    "pipeline": ((2,), (0,), (1,)),
    # x reaches y both directly and through z, and is judged by both.
    "diamond": ((1, 2), (0, 2), (0, 1)),
}
PATHS = {
    "chain": {("x", "y", "z", "x")},
    "pipeline": {("x", "z", "x")},
    "diamond": {("x", "y", "z", "x"), ("x", "y", "x"), ("x", "z", "x")},
}


@pytest.fixture(autouse=True)
def x64():
    with jax.enable_x64(True):
        yield


def quadratic(name, names):
    """A loss whose batch is its matrix and its vector over all variables."""

    def loss(variables, batch):
        matrix, linear = batch
        parts = [variables.get(n, jnp.zeros(size)) for n, size in names.items()]
        s = jnp.concatenate(parts)
        return s @ matrix @ s / 2 + linear @ s

    loss.__qualname__ = name
    return loss


@functools.cache
def losses(names):
    return {name: quadratic(name, dict(names)) for name, _ in names}


def graph_of(problem, reads, names=NAMES, rate=0.1, every=(1, 1, 1, 1), **responses):
    sized = losses(tuple(zip(names, problem.sizes, strict=True)))
    return meta.problem_graph(
        [
            meta.Problem(
                name=name,
                loss=sized[name],
                optimizer=gl.sgd(rate),
                depends=tuple(names[j] for j in others),
                every=period,
                response=responses.get(name, implicit("cg", tolerance=1e-13)),
            )
            for name, others, period in zip(names, reads, every, strict=False)
        ]
    )


def batches_of(problem, names=NAMES):
    return {n: (problem.matrices[i], problem.linear[i]) for i, n in enumerate(names)}


def variables_at(problem, s, names=NAMES):
    return {n: jnp.asarray(s[problem.at(i)]) for i, n in enumerate(names)}


@functools.cache
def gradients(names):
    """All levels' derivatives as one program."""
    return compiled_once(
        lambda graph, state, batches: {n: graph.gradient(n, state, batches) for n in names}
    )


def found_at(graph, problem, s, names=NAMES):
    state = graph.init(variables_at(problem, s, names))
    return gradients(names)(graph, state, batches_of(problem, names))


@pytest.mark.parametrize("structure", READS)
def test_three_levels_are_the_closed_form(structure):
    problem = paper.Quadratics.make(SIZES, READS[structure])
    graph = graph_of(problem, READS[structure])
    assert set(graph.paths("x")) == PATHS[structure]
    start = np.random.default_rng(1).normal(size=sum(SIZES))
    best = problem.responses(2)[0] @ np.r_[np.zeros(5), start[5:]] + problem.responses(2)[1]
    for s in (best, start):  # also where no level is at its best
        found = found_at(graph, problem, s)
        for i, name in enumerate(NAMES):
            exact = problem.gradient(i, s)
            np.testing.assert_allclose(found[name].gradient, exact, rtol=0, atol=1e-10)
            loss = s @ problem.matrices[i] @ s / 2 + problem.linear[i] @ s
            assert float(found[name].value) == pytest.approx(loss)
        for report in found["x"].reports.values():
            assert bool(report.converged)
            assert not bool(report.failed)
    # Without one of the paths it is something else.
    if structure == "diamond":
        exact = problem.gradient(2, start)
        for cut in (((1,), (0, 2), (0, 1)), ((1, 2), (0,), (0, 1))):
            other = found_at(graph_of(problem, cut), problem, start)["x"].gradient
            assert np.max(np.abs(other - exact)) > 1e-2


def height(z, x):
    return 1.0 + (jnp.array([[0.7, -0.4], [0.2, 0.9], [-0.5, 0.3]]) @ z + jnp.sin(x)[:1]) ** 2


def lowest(v, _):  # at its best y = log height
    return jnp.sum(jnp.exp(v["y"]) - v["y"] * height(v["z"], v["x"]))


def middle(v, _):
    couplings = jnp.sum(jnp.cos(v["y"]) * jnp.sum(v["z"] * v["x"]))
    return jnp.sum(v["z"] ** 2) + jnp.sum(v["z"] ** 4) + couplings + jnp.sum(v["y"] ** 2) / 4


def highest(v, _):
    return jnp.sum((v["y"] - 1.0) ** 2) + jnp.sum(v["z"] ** 3) + jnp.sum(v["x"] ** 2)


def test_of_a_lowest_level_that_is_known_in_closed_form_two_levels_are_left():
    """Losses that are not quadratic: the curvature of a level moves with those above it."""
    x, z = jnp.array([0.4, -0.3]), jnp.array([0.5, 0.2])

    def best(z, x):
        return {"y": jnp.log(height(z, x)), "z": z, "x": x}

    method = implicit("dense")
    left = compiled_once(
        lambda: method(
            lambda x, z: highest(best(z, x), 0), lambda x, z: middle(best(z, x), 0), x, z
        )
    )()
    problems = [
        meta.Problem(name=name, loss=loss, optimizer=gl.sgd(0.1), depends=others, response=method)
        for name, loss, others in (
            ("y", lowest, ("z", "x")),
            ("z", middle, ("y", "x")),
            ("x", highest, ("y", "z")),
        )
    ]
    graph = meta.problem_graph(problems)
    found = compiled_once(lambda g: g.gradient("x", g.init(best(z, x))))(graph)
    np.testing.assert_allclose(found.gradient, left.hypergradient, rtol=1e-10)
    report, expected = found.reports["z"], left.report
    assert float(report.curvature) == pytest.approx(float(expected.curvature), rel=1e-10)
    assert float(report.slope) == pytest.approx(float(expected.slope), rel=1e-10)


@pytest.mark.slow
def test_four_levels_are_the_closed_form():
    names, reads = ("w", "y", "z", "x"), ((1, 3), (0, 2), (1, 3), (2,))
    problem = paper.Quadratics.make((2, 2, 1, 2), reads, seed=3)
    graph = graph_of(problem, reads, names)
    s = np.random.default_rng(2).normal(size=7)
    state, batches = graph.init(variables_at(problem, s, names)), batches_of(problem, names)
    found = compiled_once(lambda g: g.gradient("x", state, batches).gradient)(graph)
    np.testing.assert_allclose(found, problem.gradient(3, s), rtol=0, atol=1e-9)


def test_the_sum_over_paths_is_the_authors_with_their_series():
    reads, (alpha, iterations) = READS["pipeline"], (0.3, 4)
    problem = paper.Quadratics.make(SIZES, reads)
    series = implicit("neumann", learning_rate=alpha, steps=iterations, on_failure="ignore")
    graph = graph_of(problem, reads, y=series, z=series)
    s = np.random.default_rng(1).normal(size=sum(SIZES))

    def products(v, current, previous):
        matrix, own, other = problem.matrices[current], *map(problem.at, (current, previous))
        hessian, mixed = matrix[own, own], matrix[other, own]
        return paper.neumann(v, hessian, mixed, alpha=alpha, iterations=iterations)

    expected = paper.along_paths(problem, 2, s, [(2, 1, 0, 2)], products)
    found = found_at(graph, problem, s)["x"]
    np.testing.assert_allclose(found.gradient, expected, rtol=0, atol=1e-12)
    assert np.max(np.abs(expected - problem.gradient(2, s))) > 1e-3
    assert float(found.reports["z"].residual) > 1e-3
    assert not bool(found.reports["z"].converged)


def test_every_response_comes_to_the_closed_form_where_it_is_exact():
    reads = READS["diamond"]
    problem = paper.Quadratics.make(SIZES, reads)
    s = problem.responses(2)[0] @ np.r_[np.zeros(5), 0.3, -0.7] + problem.responses(2)[1]
    exact = problem.gradient(2, s)
    series = implicit("neumann", learning_rate=0.3, steps=150)
    ahead = meta.unrolled_response(150)
    for lower, middle in ((series, series), (ahead, "dense"), ("minres", ahead)):
        graph = graph_of(problem, reads, rate=0.3, y=lower, z=middle)
        found = found_at(graph, problem, s)["x"]
        np.testing.assert_allclose(found.gradient, exact, rtol=0, atol=1e-6)


def test_what_is_held_has_no_part_in_the_derivative():
    reads = READS["diamond"]
    problem = paper.Quadratics.make(SIZES, reads)
    s = np.random.default_rng(1).normal(size=sum(SIZES))
    graph = graph_of(problem, reads, y="held", z="held")
    found = found_at(graph, problem, s)
    for i, name in enumerate(NAMES):
        direct = problem.slope(i, s)[problem.at(i)]
        np.testing.assert_allclose(found[name].gradient, direct, rtol=0, atol=1e-12)
        assert not found[name].reports
    assert graph.paths("x") == []


def ridge_graph(response):
    return meta.problem_graph(
        [
            meta.Problem(
                name="params",
                loss=lambda v, _: ridge.inner(v["hyper"], v["params"]),
                optimizer=gl.sgd(0.1),
                depends=("hyper",),
                response=response,
            ),
            meta.Problem(
                name="hyper",
                loss=lambda v, _: ridge.outer(v["hyper"], v["params"]),
                optimizer=gl.sgd(0.1),
                depends=("params",),
            ),
        ]
    )


@pytest.mark.parametrize(
    "method",
    [
        implicit("cg"),
        implicit("neumann", learning_rate=0.05, steps=40, damping=0.1),
        implicit("nystrom", rank=3, damping=1e-2),
    ],
)
def test_two_levels_are_implicit_hypergradient(method):
    params = ridge.tree(jnp.asarray(ridge.optimum() + 0.1))  # also off the optimum
    hyper = {name: jnp.asarray(x) for name, x in ridge.WEIGHTS.items()}
    key = jax.random.PRNGKey(3)
    expected = compiled_once(
        lambda m: m(ridge.outer, ridge.inner, hyper, params, key=jax.random.fold_in(key, 0))
    )(method)
    graph = ridge_graph(method)
    state = graph.init({"hyper": hyper, "params": params})
    found = compiled_once(lambda g, s: g.gradient("hyper", s, key=key))(graph, state)
    assert float(found.value) == pytest.approx(float(expected.value), rel=1e-14)
    pairs = ((found.gradient, expected.hypergradient), (found.reports["params"], expected.report))
    for ours, theirs in pairs:
        for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-13)


def curved(variables, _):
    y, x = variables["y"], variables["x"]
    return jnp.sum(jnp.cosh(y - jnp.sin(x))) + jnp.sum(y * x**2)


def square(variables, _):
    return jnp.sum((variables["y"] - 1.0) ** 2) + jnp.sum(variables["x"] ** 3)


def curved_graph(response, optimizer=None, **more):
    return meta.problem_graph(
        [
            meta.Problem(
                name="y",
                loss=curved,
                optimizer=gl.sgd(0.1) if optimizer is None else optimizer,
                depends=("x",),
                response=response,
            ),
            meta.Problem(name="x", loss=square, optimizer=gl.sgd(0.05), depends=("y",), **more),
        ]
    )


X, Y = np.array([0.4, -0.2, 0.9]), np.array([0.3, 0.1, -0.5])


def test_the_difference_is_the_authors():
    graph = curved_graph(meta.finite_difference_response(size=0.2))
    found = graph.gradient("x", graph.init({"x": X, "y": Y}))

    def slope(y):  # of the lower loss, in x
        return -np.sinh(y - np.sin(X)) * np.cos(X) + 2 * y * X

    expected = 3 * X**2 + paper.darts(2 * (Y - 1), slope, Y, alpha=0.2)
    np.testing.assert_allclose(found.gradient, expected, rtol=1e-10)
    assert not bool(found.reports["y"].converged)
    # Its limit is one step of gradient descent.
    small = curved_graph(meta.finite_difference_response(0.3, size=1e-4))
    one = curved_graph(implicit("one_step", learning_rate=0.3))
    found, limit = (g.gradient("x", g.init({"x": X, "y": Y})).gradient for g in (small, one))
    np.testing.assert_allclose(found, limit, rtol=1e-7)
    assert np.max(np.abs(found - expected)) > 1e-2


def test_steps_ahead_are_those_of_unroll():
    graph = curved_graph(meta.unrolled_response(4), gl.adam(0.05))
    state = graph.init({"x": X, "y": Y})
    state, _ = jax.jit(graph.step)(state)  # so that adam has a past
    own = state.optimizer_states["y"]

    def outer(x):
        run = meta.unroll(
            gl.adam(0.05),
            lambda y, _: curved({"y": y, "x": x}, None),
            state.variables["y"],
            steps=4,
            state=own,
        )
        return square({"x": x, "y": run.params}, None)

    value, slope = jax.value_and_grad(outer)(state.variables["x"])
    found = graph.gradient("x", state)
    assert float(found.value) == pytest.approx(float(value), rel=1e-12)
    np.testing.assert_allclose(found.gradient, slope, rtol=1e-10)


def test_a_bilevel_graph_takes_the_steps_of_warm_start():
    known = BlockQuadratic.make()
    x, y = known.variables(jnp.float64)
    problem = meta.BilevelProblem(
        known.outer,
        known.inner,
        project_outer=lambda x: jax.tree.map(lambda a: jnp.clip(a, -1.2, 0.9), x),
    )
    outer, inner = gl.adam(0.05), gl.sgd(0.3, momentum=0.5)
    method = meta.warm_start(outer, inner, neumann_rate=0.6, damping=0.1, inner_steps=3, terms=5)
    series = implicit("neumann", learning_rate=0.6, damping=0.1, steps=4, on_failure="ignore")
    graph = meta.bilevel_graph(problem, outer, inner, inner_steps=3, response=series)
    batches = known.batches(jnp.float64)

    def theirs(state, _):
        state = method.step(problem, state, batches)
        return state, (state.x, state.y)

    def ours(state, _):
        state, _ = graph.step(state, {"x": batches[0], "y": batches[1]})
        return state, (state.variables["x"], state.variables["y"])

    @compiled_once
    def both():
        one = jax.lax.scan(theirs, method.init(problem, x, y), None, length=6)[1]
        return one, jax.lax.scan(ours, graph.init({"x": x, "y": y}), None, length=18)[1]

    one, other = both()
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(a, b[2::3], rtol=1e-10)
    assert np.max(one[0]["gain"]) <= 0.9
    again = meta.bilevel_graph(problem, outer, inner, inner_steps=3, response=series)
    assert again == graph
    assert hash(again) == hash(graph)


def test_levels_step_in_their_time_and_come_to_the_solution():
    reads = READS["diamond"]
    problem = paper.Quadratics.make(SIZES, reads)
    series = implicit("neumann", learning_rate=0.3, steps=60)
    graph = graph_of(problem, reads, rate=0.25, every=(1, 2, 6), y=series, z=series)
    batches = batches_of(problem)
    start = variables_at(problem, np.zeros(sum(SIZES)))

    @compiled_once
    def run(graph):
        def step(state, _):
            state, report = graph.step(state, batches)
            return state, (report, state.variables)

        return jax.lax.scan(step, graph.init(start), None, length=600)

    state, (report, seen) = run(graph)
    assert int(state.count) == 600
    best = variables_at(problem, problem.solution())
    for name in NAMES:
        np.testing.assert_allclose(state.variables[name], best[name], atol=1e-6)
    for name, period in zip(NAMES, (1, 2, 6), strict=True):
        due = np.arange(1, 601) % period == 0
        assert np.array_equal(report.stepped[name], due)
        assert np.array_equal(np.isfinite(report.losses[name]), due)
        moved = np.any(np.diff(seen[name][:7], axis=0) != 0, axis=1)
        assert np.array_equal(moved, due[1:7])
    told = report.responses["x"]["z"]
    assert np.array_equal(np.isfinite(told.residual), np.arange(1, 601) % 6 == 0)
    assert not np.any(told.failed)
    assert float(told.slope[-1]) < 1e-6 < float(told.slope[5])


def test_the_lower_level_has_moved_when_the_upper_one_looks():
    graph = curved_graph("cg")
    state = graph.init({"x": X, "y": Y})
    after, report = graph.step(state)
    y = Y - 0.1 * jax.grad(lambda y: curved({"y": y, "x": X}, None))(Y)
    np.testing.assert_allclose(after.variables["y"], y, rtol=1e-12)
    moved = state._replace(variables={"x": jnp.asarray(X), "y": y})
    slope = graph.gradient("x", moved)
    np.testing.assert_allclose(after.variables["x"], X - 0.05 * slope.gradient, rtol=1e-12)
    assert float(report.losses["x"]) == pytest.approx(float(slope.value))


def test_a_graph_is_data():
    method = implicit("neumann", learning_rate=0.1, damping=0.2, steps=3)
    graph = curved_graph(method)
    assert gl.hyperparameters(graph) == {
        "problems[0].optimizer.learning_rate": 0.1,
        "problems[0].response.learning_rate": 0.1,
        "problems[0].response.damping": 0.2,
        "problems[1].optimizer.learning_rate": 0.05,
    }
    traces = 0

    def after(graph, x):
        nonlocal traces
        traces += 1
        return graph.step(graph.init({"x": x, "y": Y}))[0].variables["x"]

    run = compiled_once(after)
    paths = list(gl.hyperparameters(graph))
    graphs = [gl.replace(graph, {path: 0.15}) for path in paths]
    looped = np.stack([run(one, X) for one in graphs])
    assert traces == 1
    mapped = compiled_once(jax.vmap(after, in_axes=(0, None)))(gl.core.stack(graphs), X)
    np.testing.assert_allclose(mapped, looped, rtol=1e-12)
    many = compiled_once(jax.vmap(after, in_axes=(None, 0)))(graph, np.stack([X, -X]))
    np.testing.assert_allclose(many[1], run(graph, -X), rtol=1e-12)
    base = run(graph, X)
    assert all(np.max(np.abs(row - base)) > 1e-5 for row in looped)


def test_a_step_can_be_differentiated_by_all_that_a_graph_holds():
    def after(graph):
        state, _ = graph.step(graph.init({"x": X, "y": Y}))
        return jnp.sum(state.variables["x"] ** 2)

    graph = curved_graph(implicit("dense", damping=0.2))
    slopes = gl.hyperparameters(compiled_once(jax.grad(after))(graph))
    ones = jax.tree.map(jnp.ones_like, graph)
    forward = compiled_once(lambda g: jax.jvp(after, (g,), (ones,))[1])(gl.core.as_arrays(graph))
    assert float(forward) == pytest.approx(float(sum(slopes.values())), rel=1e-8)
    run = compiled_once(after)
    for path, value in gl.hyperparameters(graph).items():
        h = 1e-5
        ends = [float(run(gl.replace(graph, {path: value + d}))) for d in (h, -h)]
        difference = (ends[0] - ends[1]) / (2 * h)
        assert abs(difference) > 1e-3
        assert float(slopes[path]) == pytest.approx(difference, rel=1e-6)


def test_a_cond_over_a_period_survives_a_stack_of_graphs():
    graph = curved_graph("cg", every=5)
    stacked = gl.core.stack([graph, graph])

    def run(graph):
        return graph.step(graph.init({"x": X, "y": Y}))

    assert "cond[" in str(jax.make_jaxpr(jax.vmap(run))(stacked))


def bent(variables, _):
    return -jnp.sum((variables["y"] - variables["x"]) ** 2)


def failing(on_failure, three=False):
    """A lowest level at a maximum, where conjugate gradients find negative curvature."""
    response = implicit("cg", on_failure=on_failure)
    bottom = meta.Problem(
        name="y", loss=bent, optimizer=gl.sgd(0.1), depends=("x",), response=response
    )
    top = meta.Problem(name="x", loss=square, optimizer=gl.sgd(0.1), depends=("y",))
    return meta.problem_graph([bottom, top])


def test_a_failure_is_seen_and_said():
    start = {"x": X, "y": Y}
    with pytest.raises(RuntimeError, match=r"response of problem 'y'.*positive definite"):
        failing("raise").gradient("x", failing("raise").init(start))
    jitted = jax.jit(lambda g, s: g.step(s))
    with pytest.raises(RuntimeError, match="response of problem 'y'"):
        jax.block_until_ready(jitted(failing("raise"), failing("raise").init(start)))
    state, report = jitted(failing("nan"), failing("nan").init(start))
    assert np.all(np.isnan(state.variables["x"]))
    assert np.all(np.isfinite(state.variables["y"]))
    state, report = jitted(failing("ignore"), failing("ignore").init(start))
    told = report.responses["x"]["y"]
    assert bool(told.failed)
    assert bool(told.indefinite)
    assert float(told.curvature) < 0
    assert np.all(np.isfinite(state.variables["x"]))


def test_a_failure_within_another_response_is_not_silent():
    reads = READS["pipeline"]
    problem = paper.Quadratics.make(SIZES, reads)
    own = problem.at(0)
    problem.matrices[0][own, own] *= -1
    s = np.random.default_rng(1).normal(size=sum(SIZES))
    graph = graph_of(problem, reads, y=implicit("cg", on_failure="nan"))
    found = found_at(graph, problem, s)
    # x hears of y through z alone: in the mixed derivative of z's loss.
    assert set(found["x"].reports) == {"z"}
    assert np.all(np.isnan(found["x"].gradient))
    assert np.all(np.isfinite(found["z"].gradient))


def test_optimizers_are_given_what_they_may_ask_for():
    seen = {}

    def update(updates, state, params=None, **extra):
        seen.update(extra, params=params)
        return updates, state

    spy = optax.GradientTransformationExtraArgs(lambda _: (), update)
    graph = curved_graph("cg")
    graph = graph.with_values(
        problems=(graph.problems[0], graph.problems[1].with_values(optimizer=spy))
    )
    graph.step(graph.init({"x": X, "y": Y}), key=jax.random.PRNGKey(0))
    assert float(seen["value_fn"](seen["params"])) == pytest.approx(float(seen["value"]))
    np.testing.assert_allclose(seen["grad_fn"](seen["params"]), seen["grad"], rtol=1e-12)
    assert seen["key"].shape == (2,)


def test_dtypes_are_kept():
    graph = curved_graph(implicit("cg", damping=0.1), gl.adam(0.1), every=2)
    for dtype in (jnp.bfloat16, jnp.float32):
        state = graph.init({"x": jnp.asarray(X, dtype), "y": jnp.asarray(Y, dtype)})
        after, report = jax.eval_shape(lambda g, s: g.step(s), gl.core.as_arrays(graph), state)
        same = jax.tree.map(lambda a, b: a.dtype == b.dtype and a.shape == b.shape, after, state)
        assert all(jax.tree.leaves(same))
        assert report.losses["x"].dtype == dtype


def one(name, depends=(), **more):
    return meta.Problem(name=name, loss=square, optimizer=gl.sgd(0.1), depends=depends, **more)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: meta.problem_graph([]), ValueError, "problems are none"),
        (lambda: meta.problem_graph([3]), TypeError, "problem_graph: problems=.*Problem"),
        (lambda: meta.problem_graph([one("a"), one("a")]), ValueError, "called 'a'"),
        (lambda: meta.problem_graph([one("a", ("a",))]), ValueError, "'a'.*names 'a' itself"),
        (
            lambda: meta.problem_graph([one("weights"), one("x", ("weihgts",))]),
            ValueError,
            "problem 'x': depends.*'weihgts'.*weights",
        ),
        (
            lambda: meta.problem_graph([one("student", ("teacher",)), one("teacher")]),
            ValueError,
            "problem 'student' depends on 'teacher', which stands above it",
        ),
        (lambda: one("a", "bc"), TypeError, "Problem 'a': depends='bc'"),
        (lambda: one(3), TypeError, "name=3"),
        (lambda: one("a", every=0), ValueError, "Problem 'a': every.*at least 1"),
        (lambda: one("a", response="newton"), ValueError, "Problem 'a': response.*'newton'"),
        (lambda: one("a", response="neumann"), ValueError, "learning_rate"),
        (lambda: one("a", response=3), TypeError, "Problem 'a': response=3"),
        (
            lambda: one("a", response=implicit("cg", product="gauss_newton")),
            ValueError,
            "Problem 'a'.*gauss_newton",
        ),
        (lambda: one("a", project=3), TypeError, "Problem 'a': project=3"),
        (
            lambda: meta.Problem(name="a", loss=square, optimizer=gl.sgd),
            TypeError,
            "Problem 'a': expected a gradient transformation",
        ),
        (lambda: curved_graph("cg").init({"x": X}), ValueError, "'y' are missing"),
        (lambda: curved_graph("cg").init({"x": X, "y": Y, "w": Y}), ValueError, "'w'"),
        (
            lambda: curved_graph("cg").init({"x": X, "y": {"a": np.arange(2)}}),
            TypeError,
            r"variables\['y'\]\['a'\].*int",
        ),
        (
            lambda: curved_graph("cg").step(curved_graph("cg").init({"x": X, "y": Y}), {"w": 1}),
            ValueError,
            "batches 'w'",
        ),
        (lambda: curved_graph("cg").gradient("w", None), ValueError, "problem 'w'"),
        (lambda: meta.unrolled_response(0), ValueError, "at least 1"),
        (lambda: meta.finite_difference_response(size=0.0), ValueError, "size"),
        (
            lambda: meta.bilevel_graph(
                meta.BilevelProblem(max, max, constraints=max), gl.sgd(0.1), gl.sgd(0.1)
            ),
            ValueError,
            "constraints",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_a_loss_that_reads_more_than_it_says_is_named():
    graph = meta.problem_graph([one("y"), one("x")])
    with pytest.raises(ValueError, match=r"loss of problem 'y' reads.*'x'.*depends"):
        graph.step(graph.init({"x": X, "y": Y}))


def test_edges_are_told_apart_by_the_order_of_levels():
    problem = paper.Quadratics.make(SIZES, READS["diamond"])
    edges = graph_of(problem, READS["diamond"]).edges
    assert edges["u2l"] == {"x": ("y", "z"), "z": ("y",), "y": ()}
    assert edges["l2u"] == {"x": (), "z": ("x",), "y": ("z", "x")}


@pytest.mark.slow
def test_a_derivative_through_three_levels_has_derivatives_itself():
    reads = READS["diamond"]
    problem = paper.Quadratics.make(SIZES, reads)
    s = np.random.default_rng(1).normal(size=sum(SIZES))
    graph = graph_of(problem, reads, y=implicit("dense"), z=implicit("dense"))

    def gradient(variables, graph):
        state = graph.init(variables_at(problem, s))._replace(variables=variables)
        return graph.gradient("x", state, batches_of(problem)).gradient

    at = variables_at(problem, s)
    by_all = compiled_once(jax.jacrev(gradient))(at, graph)
    exact = problem.responses(2)[0][:, problem.at(2)].T @ problem.matrices[2]
    for i, name in enumerate(NAMES):  # how far others respond is the same wherever they are
        np.testing.assert_allclose(by_all[name], exact[:, problem.at(i)], rtol=0, atol=1e-10)
    by_data = compiled_once(jax.jacrev(gradient, argnums=1))(at, graph)
    run, h = compiled_once(gradient), 1e-5
    for level in (0, 1):
        path = f"problems[{level}].response.damping"
        ahead, now = (run(at, gl.replace(graph, {path: d})) for d in (h, 0.0))
        slope = gl.hyperparameters(by_data)[path]
        assert np.max(np.abs(slope)) > 1e-2
        np.testing.assert_allclose(slope, (ahead - now) / h, rtol=1e-3)


@pytest.mark.slow
def test_within_another_response_a_difference_is_its_limit():
    reads = READS["diamond"]
    problem = paper.Quadratics.make(SIZES, reads)
    s = np.random.default_rng(1).normal(size=sum(SIZES))
    found = [
        found_at(graph_of(problem, reads, y=response, z="gmres"), problem, s)["x"].gradient
        for response in (
            meta.finite_difference_response(0.4, size=0.1),
            implicit("one_step", learning_rate=0.4),
        )
    ]
    # Of a quadratic loss, a difference is its limit.
    np.testing.assert_allclose(*found, rtol=0, atol=1e-7)
    assert np.max(np.abs(found[0] - problem.gradient(2, s))) > 1e-2
