"""Evolution strategies are the paper's, unbiased where they say so, and data."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab as gl
from gradlab.testing._subject import compiled_once
from tests.paper import evolution_strategies as paper

STEPS, LENGTH, PAIRS = 12, 3, 4
POINT = (1.0, -2.0)


class Schedule:
    """The paper's toy regression: a learning rate that goes linearly between two values."""

    def init(self, theta, key):
        return jnp.ones(2, theta.dtype), jnp.zeros([], theta.dtype)

    def step(self, theta, state, key):
        x, t = state
        rate = jnp.exp(theta[0]) * (1 - t / STEPS) + jnp.exp(theta[1]) * t / STEPS
        x = x - rate * jax.grad(self.loss)(x)
        return (x, t + 1), self.loss(x)

    def loss(self, x):
        bump = jnp.sin(x[1]) ** 2 * jnp.exp(-5 * x[0] ** 2)
        return jnp.sqrt(x[0] ** 2 + 5) - jnp.sqrt(5.0) + bump + 0.25 * jnp.abs(x[1] - 100)


def schedule_in_numpy(state, theta):
    x, t = state
    total = 0.0
    for _ in range(LENGTH):
        rate = np.exp(theta[0]) * (1 - t / STEPS) + np.exp(theta[1]) * t / STEPS
        decay = np.exp(-5 * x[0] ** 2)
        slope = np.array(
            [
                x[0] / np.sqrt(x[0] ** 2 + 5) - 10 * x[0] * np.sin(x[1]) ** 2 * decay,
                np.sin(2 * x[1]) * decay + 0.25 * np.sign(x[1] - 100),
            ]
        )
        x = x - rate * slope
        bump = np.sin(x[1]) ** 2 * np.exp(-5 * x[0] ** 2)
        total += np.sqrt(x[0] ** 2 + 5) - np.sqrt(5) + bump + 0.25 * np.abs(x[1] - 100)
        t += 1
    return (x, t), total


class Balance:
    """Influence balancing, shrunk: theta first helps, and in the long run harms."""

    size, positive = 5, 2

    def init(self, theta, key):
        return jnp.ones(self.size)

    def step(self, theta, x, key):
        signs = jnp.where(jnp.arange(self.size) < self.positive, 1.0, -1.0)
        x = 0.5 * x + 0.5 * jnp.append(x[1:], 0.0) + theta * signs
        return x, 0.5 * (x[0] - 1) ** 2


class Bowl:
    """A loss of theta alone, different for each inner problem, with noise in each step."""

    curvature = jnp.array([1.0, 3.0])

    def init(self, theta, key):
        return jax.random.normal(key, (2,))

    def step(self, theta, center, key):
        noise = jax.random.normal(key, (2,))
        return center, 0.5 * jnp.sum(self.curvature * (theta - center) ** 2) + noise @ theta


class Noise:
    """A loss that theta has no part in."""

    def init(self, theta, key):
        return jax.random.normal(key)

    def step(self, theta, state, key):
        return state, state + jax.random.normal(key)


class StartsAtTheta:
    """Only the first state depends on theta."""

    def init(self, theta, key):
        return theta

    def step(self, theta, state, key):
        return state, state**2


def es(**settings):
    return gl.meta.evolution_strategies(0.1, PAIRS, **{"steps": STEPS, **settings})


def pes(**settings):
    defaults = {"steps": STEPS, "truncation": LENGTH}
    return gl.meta.persistent_evolution_strategies(0.1, PAIRS, **{**defaults, **settings})


def whole_problem(strategy, problem, theta, key):
    """The sum of the estimates of one inner problem."""
    first, rest = jax.random.split(key)

    def body(state, key):
        found, state = strategy.estimate(problem, theta, state, key)
        return state, found.gradient

    keys = jax.random.split(rest, strategy.steps // strategy.length)
    gradients = jax.lax.scan(body, strategy.init(problem, theta, first), keys)[1]
    return jax.tree.map(lambda g: g.sum(0), gradients)


def compiled(strategy, problem, theta, key):
    return compiled_once(lambda *rest: whole_problem(strategy, problem, *rest))(theta, key)


@functools.cache
def samples(strategy, problem, theta, count=2000):
    """Gradient estimates of many independent inner problems."""
    keys = jax.random.split(jax.random.key(1), count)
    point = jnp.array(theta)
    run = compiled_once(jax.vmap(lambda key: whole_problem(strategy, problem(), point, key)))
    return np.asarray(run(keys), np.float64)


def statistics(*arguments):
    """Mean and standard error of the estimates."""
    found = samples(*arguments)
    return found.mean(0), found.std(0) / np.sqrt(len(found))


@pytest.mark.parametrize("make", [es, pes])
def test_the_numbers_are_the_papers(make):
    with jax.enable_x64(True):
        strategy = make(truncation=LENGTH)
        theta = jnp.array([-1.0, 0.5])
        state = strategy.init(Schedule(), theta, jax.random.key(9))
        step = compiled_once(lambda state, key: strategy.estimate(Schedule(), theta, state, key))
        keys = jax.random.split(jax.random.key(0), 2 * STEPS // LENGTH + 1)
        ours, noises = [], []
        for key in keys:
            found, state = step(state, key)
            ours.append(np.asarray(found.gradient))
            noises.append(np.asarray(strategy.perturbations(theta, jax.random.split(key, 3)[1])))
    transcription = getattr(paper, type(strategy).owner())
    expected = list(
        transcription(
            noises,
            np.asarray(theta),
            start=lambda: (np.ones(2), 0.0),
            unroll=schedule_in_numpy,
            unrolls=STEPS // LENGTH,
            std=0.1,
        )
    )
    np.testing.assert_allclose(ours, expected, rtol=1e-10, atol=1e-10)


def test_evolution_strategies_are_unbiased_on_a_quadratic():
    mean, error = statistics(es(), Bowl, POINT)
    exact = STEPS * Bowl.curvature * np.array(POINT)
    assert np.all(np.abs(mean - exact) < 4 * error)
    assert np.all(error < 0.1 * np.abs(exact))


def test_persistent_strategies_are_unbiased_where_truncated_ones_have_the_wrong_sign():
    theta, problem = jnp.array(0.5), Balance()

    def total(theta):
        def body(x, _):
            return problem.step(theta, x, None)

        return jax.lax.scan(body, problem.init(theta, None), None, length=24)[1].sum()

    exact = float(jax.grad(total)(theta))
    mean, error = statistics(pes(steps=24, truncation=2), Balance, 0.5)
    assert abs(mean - exact) < 4 * error < 0.5 * abs(exact)
    short, short_error = statistics(es(steps=24, truncation=2), Balance, 0.5, 500)
    assert np.sign(short) == -np.sign(exact)
    assert abs(short - exact) > 20 * short_error


def test_antithetic_pairs_have_less_variance_for_the_same_evaluations():
    for make in (es, pes):
        pairs = samples(make(), Bowl, POINT).std(0)
        single = samples(make(antithetic=False), Bowl, POINT).std(0)
        assert np.all(pairs < 0.3 * single)


def test_without_pairs_the_estimate_is_unbiased_too():
    mean, error = statistics(pes(antithetic=False), Bowl, POINT)
    assert np.all(np.abs(mean - STEPS * Bowl.curvature * np.array(POINT)) < 4 * error)


def test_both_of_a_pair_see_the_same_randomness():
    for strategy in (es(), pes(), es(truncation=LENGTH)):
        assert not np.any(samples(strategy, Noise, (1.0, 1.0), 2))


def test_initial_states_may_depend_on_theta():
    mean, error = statistics(pes(), StartsAtTheta, 3.0)
    assert abs(mean - 6 * STEPS) < 4 * error < 0.1 * mean


def test_one_unroll_for_the_whole_is_evolution_strategies():
    theta = jnp.array([-1.0, 0.5])
    one, other = pes(truncation=STEPS), es()
    key = jax.random.key(3)
    expected = compiled(other, Schedule(), theta, key)
    np.testing.assert_array_equal(compiled(one, Schedule(), theta, key), expected)


def test_an_optimizer_can_be_theta_and_the_gradient_is_one():
    problem = gl.meta.TrainingProblem(
        params=lambda key: {"x": jax.random.normal(key, (3,))},
        loss=lambda params, batch: jnp.sum(jnp.square(params["x"])),
        batch=lambda key: (),
    )
    opt = gl.sgd(0.05, momentum=0.5)
    strategy = gl.meta.persistent_evolution_strategies(0.01, 64, steps=10, truncation=5)
    gradient = compiled(strategy, problem, opt, jax.random.key(0))
    assert jax.tree.structure(gradient) == jax.tree.structure(opt)
    assert gradient.learning_rate < 0  # a larger rate would be better


def test_an_outer_loss_sees_the_parameters_after_the_step():
    problem = gl.meta.TrainingProblem(
        params=lambda key: jnp.array(2.0),
        loss=lambda params, batch: params**2,
        batch=lambda key: (),
        outer=lambda params, key: params,
    )
    state = problem.init(gl.sgd(0.25), jax.random.key(0))
    assert problem.step(gl.sgd(0.25), state, jax.random.key(0))[1] == 1.0


@pytest.mark.parametrize("make", [es, pes])
def test_twenty_deviations_take_one_trace_and_a_stack_equals_a_loop(make):
    traces = 0
    theta, key = jnp.array([-1.0, 0.5]), jax.random.key(0)

    def run(strategy):
        nonlocal traces
        traces += 1
        return whole_problem(strategy, Schedule(), theta, key)

    strategies = [gl.replace(make(), std=std) for std in np.linspace(0.05, 0.2, 20)]
    single = compiled_once(run)
    looped = np.array([single(strategy) for strategy in strategies])
    assert traces == 1
    assert len({tuple(row) for row in looped.tolist()}) == 20  # the deviation has an effect
    mapped = compiled_once(jax.vmap(run))(gl.stack(strategies))
    np.testing.assert_allclose(mapped, looped, rtol=2e-3, atol=1e-2)
    assert jax.tree.leaves(make()) == [0.1]
    assert make() == make()
    assert hash(make()) == hash(make())


def test_narrow_theta_gets_a_gradient_of_its_dtype():
    theta = {"w": jnp.ones(2, jnp.bfloat16), "b": jnp.float32(1.0)}

    class Sum:
        def init(self, theta, key):
            return jnp.zeros([])

        def step(self, theta, state, key):
            return state, jnp.sum(theta["w"]) + theta["b"]

    gradient = compiled(pes(), Sum(), theta, jax.random.key(0))
    assert jax.tree.map(lambda x: x.dtype, gradient) == jax.tree.map(lambda x: x.dtype, theta)


def test_bad_input_is_named():
    key = jax.random.key(0)
    with pytest.raises(ValueError, match=r"evolution_strategies: std=0\.0 is outside \(0, inf\)"):
        gl.meta.evolution_strategies(0.0, steps=5)
    with pytest.raises(ValueError, match=r"pairs=0: expected an integer of at least 1"):
        gl.meta.evolution_strategies(pairs=0, steps=5)
    with pytest.raises(ValueError, match="truncation=5 does not divide steps=12"):
        pes(truncation=5)
    with pytest.raises(ValueError, match="truncation=5 does not divide steps=12"):
        whole_problem(gl.replace(pes(), truncation=5), Bowl(), jnp.ones(2), key)
    with pytest.raises(TypeError, match="did you mean 'pairs'"):
        gl.meta.evolution_strategies(pair=3, steps=5)
    for strategy in (es(), pes()):
        with pytest.raises(TypeError, match=r"theta has int32 at \['n'\]"):
            strategy.init(Bowl(), {"n": jnp.arange(2)}, key)
        with pytest.raises(TypeError, match="has no method init"):
            strategy.init(object(), jnp.ones(2), key)

        class Vector(Noise):
            def step(self, theta, state, key):
                return state, jnp.ones(3)

        state = strategy.init(Vector(), jnp.ones(2), key)
        with pytest.raises(ValueError, match=r"shape \(3,\), expected a scalar"):
            strategy.estimate(Vector(), jnp.ones(2), state, key)
