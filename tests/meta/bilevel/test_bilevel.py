"""Methods for bilevel problems do what their papers say, and what a user relies on."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab as gl
from gradlab.meta.bilevel._calculus import hypergradient_at
from gradlab.testing._block_quadratic import BlockQuadratic
from gradlab.testing._subject import compiled_once
from tests.paper import bilevel as paper

STEPS = 60
BLOCKS = 4
meta = gl.meta


def numbers(blocks=()):
    draw = np.random.default_rng(1)
    x, y = draw.normal(size=2), draw.normal(size=(*blocks, 3))
    targets, offsets = 0.3 * draw.normal(size=(2, STEPS, *blocks, 3)) + 1.0
    return x, y, targets, offsets


def objectives(tasks):
    """The two objectives of one task; a batch is what comes with it."""

    def outer(x, y, batch):
        target, D = batch
        return jnp.sum((y - target - D @ x) ** 2) / 2 + tasks.rho / 2 * jnp.sum(x**2)

    def inner(x, y, batch):
        offset, A, B, E = batch
        off = y - B @ x - offset
        return off @ A @ off / 2 + jnp.sum(jnp.log(jnp.cosh(y - E @ x)))

    return outer, inner


def trajectory(method, keys=None, blocks=(), **more):
    """The variables of every step in float64, from one compiled scan."""
    tasks = paper.Tasks.make(blocks)
    x, y, targets, offsets = numbers(blocks)
    problem = meta.BilevelProblem(*objectives(tasks), **more)

    def batch(target, offset):
        return meta.Batches((target, tasks.D), (offset, tasks.A, tasks.B, tasks.E))

    if keys is None:
        keys = jnp.zeros((STEPS, 2), jnp.uint32)

    def step(state, given):
        state = method.step(problem, state, batch(*given[:2]), given[2])
        return state, (state.x, state.y)

    def run(x, y, given):
        state = method.init(problem, x, y, batch(*(a[0] for a in given[:2])))
        return jax.lax.scan(step, state, given)[1]

    return compiled_once(run)(x, y, (targets, offsets, keys))


def assert_matches(found, expected):
    expected = [np.stack(part) for part in zip(*expected, strict=True)]
    for name, a, b in zip("xy", found, expected, strict=True):
        assert np.all(np.isfinite(b))
        assert np.ptp(b) > 1e-3
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10, err_msg=name)


def transcribed(algorithm, *draws, blocks=(), **settings):
    x, y, targets, offsets = numbers(blocks)
    batches = list(zip(targets, offsets, strict=True))
    return list(algorithm(paper.Tasks.make(blocks), x, y.copy(), batches, *draws, **settings))


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize("inner_steps", [1, 3])
def test_f2sa_is_the_papers(inner_steps):
    method = meta.f2sa(0.05, 0.2, None, 1.5, 0.05, inner_steps=inner_steps)
    settings = {"eta": 0.05, "gamma": 0.2, "lam": 1.5, "delta": 0.05, "T": inner_steps}
    expected = transcribed(paper.f2sa, alpha=lambda lam: 0.1 / lam, **settings)
    assert_matches(trajectory(method), expected)


def test_f2sa_with_recursive_averages_is_the_papers():
    method = meta.f2sa(0.05, 0.2, 0.03, 1.5, 0.05, 0.7)
    settings = {"eta": 0.05, "gamma": 0.2, "lam": 1.5, "delta": 0.05, "b1": 0.7}
    assert_matches(trajectory(method), transcribed(paper.f3sa, alpha=lambda _: 0.03, **settings))


def test_recursive_averages_that_keep_nothing_are_plain_gradients():
    plain, none_kept = meta.f2sa(0.05, 0.2), meta.f2sa(0.05, 0.2, b1=0.0)
    for a, b in zip(trajectory(plain), trajectory(none_kept), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


def test_penalty_bilevel_is_the_formula_on_boxes():
    method = meta.penalty_bilevel(0.05, 0.2, 0.3, 0.4, 0.6, inner_steps=3)
    boxes = {
        "project_outer": lambda x: jnp.clip(x, -0.6, 0.4),
        "project_inner": lambda y: jnp.clip(y, -0.5, 0.55),
    }
    settings = {"eta": 0.05, "gamma": 0.2, "sigma": 0.3, "rho": 0.4, "beta": 0.6, "T": 3}
    sets = {"X": (-0.6, 0.4), "Y": (-0.5, 0.55)}
    expected = transcribed(paper.penalty_bilevel, **settings, **sets)
    ends = expected[-1]
    assert abs(ends[1][2] - 0.55) < 1e-6  # the box of y binds
    assert any(0.4 in x for x, _ in expected)  # and that of x, on the way
    assert_matches(trajectory(method, **boxes), expected)


def test_penalty_bilevel_without_sets_and_pull_is_f2sa_with_a_fixed_penalty():
    sigma, rate = 0.25, 0.2
    first = meta.penalty_bilevel(0.05, rate, sigma, inner_steps=2)
    other = meta.f2sa(0.05, rate, rate * sigma, 1 / sigma, 0.0, inner_steps=2)
    for a, b in zip(trajectory(first), trajectory(other), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)
    # With recursive averages, too.
    first = meta.penalty_bilevel(0.05, rate, sigma, b1=0.6)
    other = meta.f2sa(0.05, rate, rate * sigma, 1 / sigma, 0.0, b1=0.6)
    for a, b in zip(trajectory(first), trajectory(other), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


def test_sl_bamm_is_the_authors():
    method = meta.sl_bamm(0.03, 0.2, 0.25, 0.8, 0.3)
    settings = {"alpha": 0.03, "beta": 0.2, "eta": 0.25, "mu0": 0.8, "q": 0.3}
    assert_matches(trajectory(method), transcribed(paper.sl_bamm, **settings))


def test_lv_hba_is_the_authors_with_a_constraint_that_couples_the_levels():
    a, b = np.array([0.5, -0.3]), np.array([0.8, 0.4, 0.6])

    def project(x, y):
        over = jnp.maximum(a @ x + b @ y - 1, 0) / (a @ a + b @ b)
        return x - over * a, y - over * b

    method = meta.lv_hba(0.1, 0.2, 0.3, 0.7, 0.3, 2.0, 3.0, 0.2)
    settings = {"alpha": 0.1, "eta": 0.2, "beta": 0.3, "c0": 0.7, "q": 0.3}
    settings |= {"gamma1": 2.0, "gamma2": 3.0, "r": 0.2, "a": a, "b": b}
    expected = transcribed(paper.lv_hba, **settings)
    assert any(a @ x + b @ y > 1 - 1e-9 for x, y in expected[1:])  # it binds
    found = trajectory(method, constraints=lambda x, y: a @ x + b @ y - 1, project=project)
    assert_matches(found, expected)


def test_bo_rep_is_the_papers():
    method = meta.bo_rep(
        0.05, 0.3, 0.8, 0.25, 0.05, 0.4,
        inner_steps=3, period=2, neumann_terms=4, refine_epochs=2, refine_steps=3,
    )  # fmt: skip
    settings = {"eta": 0.05, "alpha": 0.3, "beta": 0.8, "inverse_l": 0.25, "R": 0.05, "N": 3}
    settings |= {"period": 2, "Q": 4, "epochs": 2, "T": 3, "refine_R": 0.4}
    expected = transcribed(paper.bo_rep, first=numbers()[3][0], **settings)
    assert_matches(trajectory(method), expected)


@jax.jit
@jax.vmap
def sampled(key):
    return jax.random.choice(key, BLOCKS, (2,), replace=False)


@pytest.mark.parametrize("matrices", [False, True])
def test_bsvrb_is_the_authors(matrices):
    keys, settings = jax.random.split(jax.random.PRNGKey(3), STEPS), {"eta": 0.05, "tau": 0.2}
    settings |= {"alpha": 0.6, "gamma": 0.7, "beta": 0.3, "tau_v": 0.2, "blocks": (BLOCKS,)}
    if matrices:
        method = meta.bsvrb_matrices(0.05, 0.2, 0.6, 0.7, 0.3, 0.9, sampled_blocks=2)
        settings |= {"curvature": 0.9}
    else:
        method = meta.bsvrb(0.05, 0.2, 0.2, 0.6, 0.7, 0.3, 0.4, sampled_blocks=2)
        settings |= {"R": 0.4}
    chosen = np.asarray(sampled(keys))
    expected = transcribed(paper.bsvrb, chosen, **settings)
    assert_matches(trajectory(method, keys, blocks=(BLOCKS,)), expected)


@pytest.mark.parametrize("kind", ["neumann", "implicit", "unrolled"])
@pytest.mark.parametrize("warm", [True, False])
def test_warm_and_cold_start_are_training_and_its_hypergradient(warm, kind):
    make = meta.warm_start if warm else meta.cold_start
    method = make(gl.sgd(0.05), gl.sgd(0.2), 0.25, 0.1, inner_steps=4, hypergradient=kind, terms=5)
    settings = {"eta": 0.05, "gamma": 0.2, "T": 4, "warm": warm, "kind": kind}
    settings |= {"rate": 0.25, "terms": 5, "d": 0.1}
    expected = transcribed(paper.train_then_differentiate, **settings)
    found, tolerance = trajectory(method), 1e-10 if kind != "implicit" else 1e-6
    if kind == "implicit":  # conjugate gradients stop at a residual
        for name, a, b in zip("xy", found, zip(*expected, strict=True), strict=True):
            np.testing.assert_allclose(a, np.stack(b), rtol=tolerance, err_msg=name, atol=1e-6)
    else:
        assert_matches(found, expected)


@pytest.mark.parametrize("local", [True, False])
def test_the_hypernetwork_is_the_papers_with_a_linear_map(local):
    keys = jax.random.split(jax.random.PRNGKey(4), STEPS)
    method = meta.best_response_hypernetwork(gl.sgd(0.05), gl.sgd(0.1), 0.5, samples=2, local=local)

    @jax.jit
    @jax.vmap
    def draws(key):
        own = jax.random.split(jax.random.fold_in(key, 0), 2)
        return jax.vmap(lambda k: jax.random.normal(k, (2,), jnp.float64))(own)

    settings = {"eta": 0.05, "gamma": 0.1, "scale": 0.5, "local": local}
    expected = transcribed(paper.best_response_hypernetwork, np.asarray(draws(keys)), **settings)
    assert_matches(trajectory(method, keys), expected)


def plain_problem():
    return meta.BilevelProblem(
        outer=lambda x, y, batch: jnp.sum((y - 1.0) ** 2) + 0.1 * jnp.sum(x**2),
        inner=lambda x, y, batch: jnp.sum((y - 2 * x) ** 2),
    )


def solve(method, problem, x, y, steps, batches=None):
    x, y = (jnp.asarray(a, jnp.float64) for a in (x, y))

    def body(state, key):
        return method.step(problem, state, batches, key), None

    keys = jax.random.split(jax.random.PRNGKey(0), steps)
    run = jax.jit(lambda s: jax.lax.scan(body, s, keys)[0])
    return run(method.init(problem, x, y, batches))


def test_sl_bamm_lets_the_outer_objective_decide_where_the_inner_one_does_not():
    """The inner problem fixes y[0] to x, and leaves y[1] open: its best value is 3."""
    problem = meta.BilevelProblem(
        outer=lambda x, y, batch: (x - y[1]) ** 2 + (y[0] - 1) ** 2 + (y[1] - 3) ** 2,
        inner=lambda x, y, batch: (y[0] - x) ** 2,
    )
    found = solve(meta.sl_bamm(0.01, 0.2, 0.2, 0.5, 0.2), problem, 0.0, [0.0, 0.0], 20000)
    # With y[0] = x, the best is at 2(x - y1) + 2(x - 1) = 0 and 2(y1 - x) + 2(y1 - 3) = 0.
    x, second = np.linalg.solve([[4, -2], [-2, 4]], [2, 6])
    np.testing.assert_allclose([found.x, *found.y], [x, x, second], atol=0.15)
    stuck = solve(meta.warm_start(gl.sgd(0.05), gl.sgd(0.2)), problem, 0.0, [0.0, 0.0], 500)
    assert stuck.y[1] == 0  # plain hypergradients cannot move it


def test_lv_hba_keeps_a_constraint_that_couples_the_levels():
    """min x² + (y - 2)² where y minimises (y - x)² under y ≤ 1 - x: best at y = 1 - x = x."""

    def project(x, y):
        over = jnp.maximum(x + y - 1, 0) / 2
        return x - over, y - over

    problem = meta.BilevelProblem(
        outer=lambda x, y, batch: (x - 2) ** 2 + (y - 2) ** 2,
        inner=lambda x, y, batch: (y - x) ** 2,
        constraints=lambda x, y: x + y - 1,
        project=project,
    )
    found = solve(meta.lv_hba(0.02, 0.1, 0.1, 1.0), problem, 0.0, 0.0, 5000)
    assert found.x + found.y <= 1 + 1e-9
    np.testing.assert_allclose([found.x, found.y], [0.5, 0.5], atol=0.05)


def test_bo_rep_does_not_overshoot_where_the_outer_gradient_has_no_bound():
    problem = meta.BilevelProblem(
        outer=lambda x, y, batch: jnp.cosh(4 * (y - 1)), inner=lambda x, y, batch: (y - 2 * x) ** 2
    )
    found = solve(meta.bo_rep(0.01, 0.2, neumann_rate=0.4), problem, -3.0, 0.0, 1000)
    assert abs(float(found.x) - 0.5) < 0.05
    plain = solve(meta.warm_start(gl.sgd(0.01), gl.sgd(0.2)), problem, -3.0, 0.0, 1000)
    assert not abs(float(plain.x) - 0.5) < 0.05


def test_penalty_bilevel_stops_where_the_projected_hypergradient_is_zero():
    """Without the sets x would be 1/2; y ≤ 0.6 bends the inner solution, x ≥ 0.2 the outer."""
    problem = meta.BilevelProblem(
        outer=lambda x, y, batch: (y - 1.0) ** 2 + x**2,
        inner=lambda x, y, batch: (y - 2 * x) ** 2,
        project_outer=lambda x: jnp.clip(x, 0.45, 1.0),
        project_inner=lambda y: jnp.clip(y, -1.0, 0.6),
    )
    found = solve(meta.penalty_bilevel(0.005, 0.2, 0.02, inner_steps=5), problem, 1.0, 0.0, 3000)
    # On [0.45, 1], y* = min(2x, 0.6) = 0.6 does not depend on x, so the least x is best.
    np.testing.assert_allclose([found.x, found.y], [0.45, 0.6], atol=1e-6)


def test_the_first_order_hypergradient_comes_closer_as_the_penalty_grows():
    """At a fixed x with both inner problems solved, it is off by about 1/λ."""
    problem, x, errors = plain_problem(), 0.2, []
    exact = 2 * (2 * x - 1) * 2 + 0.2 * x
    for penalty in (10.0, 100.0, 1000.0):
        method = meta.f2sa(1e-9, 0.25, 0.25 / penalty, penalty, 0.0, inner_steps=200)
        state = solve(method, problem, x, 2 * x, 3)
        errors.append(abs(float((x - state.x) / 3e-9) - exact))
    assert errors[0] > 5 * errors[1] > 25 * errors[2]


@pytest.mark.parametrize(
    "solver",
    [
        {"solver": "neumann", "learning_rate": 0.8, "steps": 199},
        {"solver": "cg", "tolerance": 1e-5, "max_steps": 50},
    ],
    ids=["neumann", "cg"],
)
def test_hypergradients_at_the_inner_solution_are_the_closed_form(solver):
    known = BlockQuadratic.make()
    problem = meta.BilevelProblem(known.outer, known.inner)
    (x, _), batches = known.variables(jnp.float64), meta.Batches(*known.batches(jnp.float64))
    flat = np.concatenate([leaf.ravel() for leaf in jax.tree.leaves(x)])
    y = {"w": jnp.asarray(known.inner_solution(flat))}
    found = compiled_once(lambda x, y: hypergradient_at(problem, x, y, batches, **solver))(x, y)
    found = np.concatenate([leaf.ravel() for leaf in jax.tree.leaves(found)])
    np.testing.assert_allclose(found, known.hypergradient(flat), rtol=1e-5)


METHODS = {
    "f2sa": meta.f2sa(0.05, 0.2),
    "warm_start": meta.warm_start(gl.adam(0.05), gl.sgd(0.2)),
    "cold_start": meta.cold_start(gl.sgd(0.05), gl.adam(0.1), inner_steps=5),
}


def test_step_sizes_may_be_schedules():
    schedule = gl.linear_schedule(0.1, 0.0, 50)
    state = solve(meta.f2sa(schedule, 0.2), plain_problem(), 0.0, 0.0, 50)
    later = solve(meta.f2sa(schedule, 0.2), plain_problem(), 0.0, 0.0, 80)
    assert float(state.x) == float(later.x) != 0.0


@pytest.mark.parametrize("name", METHODS)
def test_a_stack_of_methods_and_seeds_runs_as_one_program(name):
    base, problem = METHODS[name], plain_problem()
    leaf = next(path for path in gl.hyperparameters(base) if "learning_rate" in path)
    several = [gl.replace(base, {leaf: rate}) for rate in (0.01, 0.03)]
    starts = jnp.array([0.0, 1.0, 2.0])

    @functools.partial(jax.vmap, in_axes=(0, None))
    @functools.partial(jax.vmap, in_axes=(None, 0))
    def run(method, x):
        def body(state, _):
            return method.step(problem, state), None

        return jax.lax.scan(body, method.init(problem, x, x), None, length=20)[0].x

    found = compiled_once(run)(gl.stack(several), starts)
    assert found.shape == (2, 3)
    one = solve(several[1], problem, starts[2], starts[2], 20).x
    assert float(found[1, 2]) == pytest.approx(float(one), rel=1e-9)


def test_batches_may_differ_from_inner_step_to_inner_step():
    problem = meta.BilevelProblem(
        outer=lambda x, y, batch: (y - batch) ** 2, inner=lambda x, y, batch: (y - x - batch) ** 2
    )
    method = meta.f2sa(0.1, 0.5, 0.0, inner_steps=2)
    state = method.init(problem, 0.0, 0.0)
    inner = meta.PerStep(jnp.array([5.0, 7.0, 100.0]))
    state = method.step(problem, state, meta.Batches(0.0, inner))
    assert float(state.z) == 7.0  # a step of 1/2 goes to the solution of the last inner batch
    with pytest.raises(ValueError, match=r"batches\.inner.*3.*expected 2"):
        meta.f2sa(0.1, 0.5).step(problem, state, meta.Batches(0.0, inner))


def five_of_three_blocks():
    return meta.bsvrb(0.1, 0.1, 0.1, sampled_blocks=5).init(plain_problem(), 0.0, jnp.ones(3))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: meta.f2sa(-0.1, 0.1), ValueError, r"f2sa: learning_rate=-0.1 is outside \[0, inf"),
        (lambda: meta.f2sa(0.1, 0.1, b1=0.5, inner_steps=2), ValueError, r"inner_steps=2.*b1"),
        (lambda: meta.penalty_bilevel(0.1, 0.1, mixing=0.0), ValueError, r"mixing=0.0.*\(0, 1\]"),
        (lambda: meta.bo_rep(0.1, 0.1, period=0), ValueError, "period=0"),
        (lambda: meta.warm_start(gl.sgd(1.0), gl.sgd(1.0), hypergradient="x"), ValueError, "'x'"),
        (lambda: meta.warm_start(0.1, gl.sgd(1.0)), TypeError, "expected a gradient transf"),
        (lambda: meta.BilevelProblem(1.0, abs), TypeError, r"outer=1.0 is not a function"),
        (lambda: five_of_three_blocks(), ValueError,
         r"sampled_blocks=5 is outside \[1, 3\]"),
        (lambda: meta.bsvrb(0.1, 0.1, 0.1).init(plain_problem(), 0.0, {"a": 0.0}),
         ValueError, r"y\['a'\].*leading axis"),
        (lambda: meta.f2sa(0.1, 0.1).init(plain_problem(), 0.0, {"a": jnp.arange(3)}),
         TypeError, r"y\['a'\].*int"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()
