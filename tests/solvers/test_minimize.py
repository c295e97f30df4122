"""Minimisation by any optimizer: right answers, right derivatives, and no more work than needed."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradlab as gl
from gradlab import core
from gradlab.testing._subject import compiled_once
from tests.meta import ridge

INIT = ridge.tree(np.zeros(4))
WEIGHTS = {name: jnp.asarray(x) for name, x in ridge.WEIGHTS.items()}
OPTIMIZERS = {
    "sgd": gl.sgd(0.05, momentum=0.5),
    "adamw": gl.adamw(0.03, weight_decay=0.0),
    "optax adam": optax.adam(0.03),
    "chain": gl.chain(gl.clip_by_global_norm(10.0), gl.sgd(0.05)),
}


@pytest.fixture(autouse=True)
def x64():
    with jax.enable_x64(True):
        yield


def objective(params, hyper):
    return ridge.inner(hyper, params)


def hypergradient(solver):
    def outer(hyper):
        return ridge.outer(hyper, solver.run(objective, INIT, hyper).params)

    def both(hyper):
        return jax.grad(outer)(hyper), jax.jacfwd(outer)(hyper)

    return compiled_once(both)(WEIGHTS)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_hypergradient_of_ridge_regression_is_the_closed_form(name):
    solver = gl.solvers.minimize(OPTIMIZERS[name], tol=1e-9, max_steps=5000)
    for found in hypergradient(solver):
        both = [found["decay"], found["shift"]]
        np.testing.assert_allclose(both, ridge.hypergradient(), rtol=1e-6)


def test_lbfgs_of_optax_comes_there_in_few_steps():
    solver = gl.solvers.minimize(optax.lbfgs(), tol=1e-9)
    found = compiled_once(lambda hyper: solver.run(objective, INIT, hyper))(WEIGHTS)
    assert bool(found.converged)
    assert int(found.steps) < 15
    np.testing.assert_allclose(ridge.vector(found.params), ridge.optimum(), atol=1e-9)
    for slope in hypergradient(solver):
        both = [slope["decay"], slope["shift"]]
        np.testing.assert_allclose(both, ridge.hypergradient(), rtol=1e-6)


def test_what_a_line_search_knows_is_not_computed_again():
    seen = []

    def counted(params, hyper):
        jax.debug.callback(lambda: seen.append(1))
        return objective(params, hyper)

    def evaluations(opt):
        solver = gl.solvers.minimize(opt, tol=1e-8)
        found = compiled_once(lambda hyper: solver.run(counted, INIT, hyper))(WEIGHTS)
        jax.effects_barrier()
        count = len(seen)
        seen.clear()
        return count, int(found.steps)

    few, steps = evaluations(optax.lbfgs())
    # What comes after the search might move the parameters, and hides what it knows.
    many, same = evaluations(optax.chain(optax.lbfgs(), optax.identity()))
    assert same == steps
    assert few == many - steps


def test_what_moves_the_parameters_after_a_line_search_is_not_taken_for_it():
    solver = gl.solvers.minimize(optax.chain(optax.lbfgs(), optax.scale(0.5)), 1e-6)
    found = compiled_once(lambda hyper: solver.run(objective, INIT, hyper))(WEIGHTS)
    slope = jax.grad(objective)(found.params, WEIGHTS)
    assert bool(found.converged)
    assert float(found.error) == pytest.approx(float(core.global_norm(slope)))


def logistic(w, decay, x, y):
    return jnp.sum(jnp.logaddexp(0, -y * (x @ w))) + decay * jnp.sum(w**2) / 2


def test_the_hypergradient_of_logistic_regression_is_that_of_finite_differences():
    x, y = ridge.X, np.sign(ridge.Y)

    def newton(decay):
        w = np.zeros(4)
        for _ in range(40):
            p = 1 / (1 + np.exp(y * (x @ w)))
            curvature = (x.T * (p * (1 - p))) @ x + decay * np.eye(4)
            w = w - np.linalg.solve(curvature, decay * w - x.T @ (y * p))
        return np.sum((ridge.X_VAL @ w - ridge.Y_VAL) ** 2)

    wanted = (newton(0.8 + 1e-5) - newton(0.8 - 1e-5)) / 2e-5
    solver = gl.solvers.minimize(gl.sgd(0.2), tol=1e-10)

    def outer(decay):
        w = solver.run(logistic, np.zeros(4), decay, x=x, y=y).params
        return jnp.sum((ridge.X_VAL @ w - ridge.Y_VAL) ** 2)

    for found in compiled_once(lambda d: (jax.grad(outer)(d), jax.jacfwd(outer)(d)))(0.8):
        assert float(found) == pytest.approx(wanted, rel=1e-7)


class SoftStep(core.Rule):
    """A proximal gradient step for the lasso."""

    learning_rate: core.Scalar = core.hyper("(0, inf)")
    strength: core.Scalar = core.hyper("[0, inf)")

    def update(self, updates, state, params=None, **extra):
        def leaf(g, x):
            y, threshold = x - self.learning_rate * g, self.learning_rate * self.strength
            return jnp.sign(y) * jnp.maximum(jnp.abs(y) - threshold, 0) - x

        return jax.tree.map(leaf, updates, params), state


@core.builds(SoftStep)
def soft_step(learning_rate, strength):
    """A proximal gradient step."""


def test_a_lasso_by_proximal_steps_has_derivatives_by_its_strength_and_by_the_data():
    solver = gl.solvers.minimize(
        soft_step(0.04, 2.0), tol=1e-11, max_steps=5000, condition="fixed_point"
    )

    def least_squares(w, y):
        return jnp.sum((ridge.X @ w - y) ** 2) / 2

    def fit(solver, y):
        return solver.run(least_squares, np.zeros(4), y).params

    def run(solver, y):
        by_data = jax.jacrev(lambda y: fit(solver, y))(y)
        return fit(solver, y), jax.jacrev(lambda s: fit(s, y))(solver).opt, by_data

    w, by_opt, by_data = compiled_once(run)(solver, ridge.Y)
    active = np.flatnonzero(np.asarray(w))
    assert 0 < len(active) < 4
    x = ridge.X[:, active]
    inverse, signs = np.linalg.inv(x.T @ x), np.sign(np.asarray(w)[active])
    np.testing.assert_allclose(w[active], inverse @ (x.T @ ridge.Y - 2 * signs), atol=1e-9)
    np.testing.assert_allclose(by_opt.strength[active], -inverse @ signs, rtol=1e-6)
    np.testing.assert_allclose(by_opt.learning_rate, np.zeros(4), atol=1e-7)
    np.testing.assert_allclose(by_data[active], inverse @ x.T, atol=1e-6)


def bowl(x, a):
    return jnp.sum((x - a) ** 2 * jnp.array([1.0, 0.25])) / 2


def test_unrolled_it_is_the_derivative_through_training():
    a = jnp.array([1.0, -2.0])

    def by_solver(opt, memory="plain"):
        solver = gl.solvers.minimize(opt, 0.0, 6, differentiate="unroll", memory=memory)
        return jnp.sum(solver.run(bowl, jnp.ones(2), a).params ** 2)

    def by_unroll(opt):
        found = gl.meta.unroll(opt, lambda x, _: bowl(x, a), jnp.ones(2), steps=6)
        return jnp.sum(found.params**2)

    def run(opt):
        others = [jax.grad(lambda o, m=m: by_solver(o, m))(opt) for m in ("segments", 10_000)]
        return jax.grad(by_unroll)(opt), jax.grad(by_solver)(opt), *others

    wanted, *found = compiled_once(run)(gl.sgd(0.3, momentum=0.9))
    for slope in found:
        assert float(slope.learning_rate) == pytest.approx(float(wanted.learning_rate))
        assert float(slope.momentum) == pytest.approx(float(wanted.momentum))


def test_once_there_an_unrolled_solver_does_nothing():
    solver = gl.solvers.minimize(gl.sgd(0.5), 1e-3, 200, differentiate="unroll")

    def run(a):
        return solver.run(bowl, jnp.zeros(2), a)

    a = jnp.array([1.0, -2.0])
    found = compiled_once(run)(a)
    known = compiled_once(
        lambda a: gl.solvers.minimize(gl.sgd(0.5), 1e-3, 200).run(bowl, jnp.zeros(2), a)
    )(a)
    assert int(found.steps) == int(known.steps) < 200
    np.testing.assert_allclose(found.params, known.params, atol=1e-15)
    slope = compiled_once(jax.jacrev(lambda a: run(a).params))(a)
    shares = 1 - (1 - 0.5 * np.array([1.0, 0.25])) ** int(found.steps)
    np.testing.assert_allclose(slope, np.diag(shares), atol=1e-12)


def test_one_step_is_the_derivative_of_the_last_step_alone():
    solver = gl.solvers.minimize(gl.sgd(0.5), tol=1e-8, differentiate="one_step")

    def run(a):
        return solver.run(bowl, jnp.zeros(2), a).params

    a = jnp.array([1.0, -2.0])
    found = compiled_once(lambda a: (jax.jacrev(run)(a), jax.jacfwd(run)(a)))(a)
    for slope in found:
        np.testing.assert_allclose(slope, np.diag([0.5, 0.125]), atol=1e-12)


def test_twenty_values_of_a_hyperparameter_and_of_the_tolerance_share_a_trace():
    traces = []

    @jax.jit
    def run(solver, a):
        traces.append(1)
        return solver.run(bowl, jnp.zeros(2), a)

    base = gl.solvers.minimize(gl.sgd(0.1))
    steps = []
    for i in range(20):
        solver = gl.replace(
            base, {"opt.learning_rate": 0.1 + 0.04 * i, "tol": 10.0 ** (-1 - i / 4)}
        )
        steps.append(int(run(solver, jnp.array([1.0, -2.0])).steps))
    assert len(traces) == 1
    assert len(set(steps)) > 10


def test_derivatives_go_by_what_the_objective_closes_over():
    solver = gl.solvers.minimize(gl.sgd(0.5), tol=1e-10)

    def outer(a):
        return jnp.sum(solver.run(lambda x: bowl(x, a), jnp.zeros(2)).params ** 2)

    a = jnp.array([1.0, -2.0])
    np.testing.assert_allclose(compiled_once(jax.grad(outer))(a), 2 * a, atol=1e-8)
    np.testing.assert_allclose(compiled_once(jax.hessian(outer))(a), 2 * np.eye(2), atol=1e-7)


def test_forward_mode_takes_plain_numbers():
    solver = gl.solvers.minimize(gl.sgd(0.5), tol=1e-10)
    _, slope = jax.jvp(lambda a: solver.run(bowl, jnp.zeros(2), a).params, (1.0,), (1.0,))
    np.testing.assert_allclose(slope, np.ones(2), atol=1e-9)


def test_a_solver_with_a_linear_solver_is_a_value():
    given = {"linear_solver": gl.meta.linear_solver("cg", damping=0.1)}
    solver = gl.solvers.minimize(gl.sgd(0.5), **given)
    twin = pickle.loads(pickle.dumps(solver))
    assert twin == solver == gl.solvers.minimize(gl.sgd(0.5), **given)
    assert hash(twin) == hash(solver)
    assert solver != gl.solvers.minimize(gl.sgd(0.5), linear_solver="cg")


def test_what_the_objective_gives_beside_is_that_of_the_solution():
    solver = gl.solvers.minimize(gl.sgd(0.5), tol=1e-10, has_aux=True)

    def aux(a):
        return solver.run(lambda x, a: (bowl(x, a), {"sum": jnp.sum(x)}), jnp.zeros(2), a).aux[
            "sum"
        ]

    a = jnp.array([1.0, -2.0])
    value, slope = compiled_once(jax.value_and_grad(aux))(a)
    assert float(value) == pytest.approx(-1.0)
    np.testing.assert_allclose(slope, np.ones(2), atol=1e-9)


def test_a_start_that_is_the_solution_takes_no_step():
    found = gl.solvers.minimize(gl.sgd(0.5)).run(bowl, jnp.ones(2), 1.0)
    assert int(found.steps) == 0
    assert bool(found.converged)
    assert float(found.error) == 0


def test_what_is_not_finite_ends_at_once_and_is_no_convergence():
    found = gl.solvers.minimize(gl.sgd(0.5)).run(lambda x: jnp.sum(x) * jnp.nan, jnp.ones(2))
    assert int(found.steps) == 0
    assert not bool(found.converged)
    raising = gl.solvers.minimize(gl.sgd(0.5), on_failure="raise")
    with pytest.raises(RuntimeError, match="minimize: its error is not finite"):
        raising.run(lambda x: jnp.sum(x) * jnp.nan, jnp.ones(2))


def test_lanes_that_fail_are_nan_alone_and_so_are_their_derivatives():
    solver = gl.solvers.minimize(gl.sgd(0.5), 1e-6, 30, on_failure="nan")

    def run(a):
        return solver.run(lambda x, a: (x - a) ** 2 / 2, 0.0, a)

    a = jnp.array([1.0, 1e12])
    found = compiled_once(jax.vmap(run))(a)
    assert found.converged.tolist() == [True, False]
    assert np.isnan(found.params).tolist() == [False, True]
    slopes = compiled_once(jax.vmap(jax.grad(lambda a: run(a).params)))(a)
    assert float(slopes[0]) == pytest.approx(1.0)
    assert np.isnan(float(slopes[1]))


def test_a_compiled_program_raises_where_it_was_told_to():
    solver = gl.solvers.minimize(gl.sgd(0.5), 1e-6, 3, on_failure="raise")
    with pytest.raises(Exception, match="minimize: it did not reach its tolerance"):
        jax.block_until_ready(jax.jit(lambda a: solver.run(bowl, jnp.zeros(2), a).params)(1.0))


def test_the_linear_solver_is_data_too():
    solver = gl.solvers.minimize(gl.sgd(0.5), tol=1e-10, linear_solver="cg")
    assert gl.hyperparameters(solver)["linear_solver.damping"] == 0.0
    damped = gl.replace(solver, {"linear_solver.damping": 0.5})

    def slope(solver):
        return jax.jacrev(lambda a: solver.run(bowl, jnp.zeros(2), a).params)(jnp.ones(2))

    run = compiled_once(slope)
    np.testing.assert_allclose(run(solver), np.eye(2), atol=1e-8)
    np.testing.assert_allclose(run(damped), np.diag([1 / 1.5, 0.25 / 0.75]), atol=1e-8)


def test_a_linear_solver_may_be_a_function():
    def by_hand(product, rhs):
        return jnp.linalg.solve(jax.vmap(product)(jnp.eye(2)).T, rhs)

    solver = gl.solvers.minimize(gl.sgd(0.5), tol=1e-10, linear_solver=by_hand)
    found = compiled_once(jax.jacrev(lambda a: solver.run(bowl, jnp.zeros(2), a).params))(
        jnp.ones(2)
    )
    np.testing.assert_allclose(found, np.eye(2), atol=1e-9)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"tol": -1.0}, r"minimize: tol=-1.0 is outside \[0, inf\)"),
        ({"condition": "kkt"}, "minimize: condition='kkt': expected one of 'stationary'"),
        ({"differentiate": "no"}, "minimize: differentiate='no': expected one of 'implicit'"),
        ({"on_failure": "warn"}, "minimize: on_failure='warn': expected one of 'raise'"),
        ({"max_steps": 0}, "minimize: max_steps=0: expected an integer of at least 1"),
        ({"memory": "segments"}, "minimize: memory='segments' is for 'unroll' alone"),
        ({"linear_solver": "gs"}, "linear_solver: solver='gs': expected one of 'cg'"),
        (
            {"linear_solver": "cg", "differentiate": "one_step"},
            "minimize: differentiate='one_step' takes no linear_solver",
        ),
    ],
)
def test_bad_input_says_what_is_wrong(given, message):
    with pytest.raises(ValueError, match=message):
        gl.solvers.minimize(gl.sgd(0.5), **given)


def test_bad_calls_say_what_is_wrong():
    solver = gl.solvers.minimize(gl.sgd(0.5))
    with pytest.raises(TypeError, match="minimize: fn=3 is no function"):
        solver.run(3, jnp.ones(2))
    with pytest.raises(TypeError, match=r"minimize: init\['n'\] is of dtype int"):
        solver.run(bowl, {"n": jnp.arange(2)})
    with pytest.raises(TypeError, match="minimize: expected a gradient transformation"):
        gl.solvers.minimize(0.5)
