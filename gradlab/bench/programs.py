"""The programs of a study: what is traced, compiled and run.

All trials of a group are one program. Its lanes have two axes, learning rates and seeds, because
what depends on the seed alone (which batch comes next) then is computed once for all rates.
"""

import dataclasses
import functools
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

import gradlab as gl
from gradlab.problems import Problem

# What the numbers of one seed are used for; each purpose has its own stream.
_INITIAL, _BATCHES, _OPTIMIZER = range(3)


def training_step(
    problem: Problem, opt: gl.Transform, params: Any, state: Any, batch: Any, key: jax.Array
) -> tuple[Any, Any, jax.Array]:
    """Makes one training step.

    Args:
        problem: the problem.
        opt: the optimizer.
        params: the parameters.
        state: the optimizer's state.
        batch: the batch, also for optimizers that evaluate the loss themselves.
        key: for optimizers that draw random numbers.

    Returns:
        The new parameters and state, and the loss before the step.
    """

    return descend(lambda p: problem.loss(p, batch), opt, params, state, key)


def descend(
    value_fn: Callable[[Any], jax.Array], opt: gl.Transform, params: Any, state: Any, key: jax.Array
) -> tuple[Any, Any, jax.Array]:
    """Makes one step on a function of the parameters, with every extra argument there is.

    Args:
        value_fn: what is minimised.
        opt: the optimizer.
        params: the parameters.
        state: the optimizer's state.
        key: for optimizers that draw random numbers.

    Returns:
        The new parameters and state, and the value before the step.
    """
    value, grad = jax.value_and_grad(value_fn)(params)
    updates, state = opt.update(
        grad,
        state,
        params,
        value=value,
        grad=grad,
        value_fn=value_fn,
        grad_fn=jax.grad(value_fn),
        key=key,
    )
    return optax.apply_updates(params, updates), state, value


def segment(problem: Problem, length: int) -> Callable[..., Any]:
    """Returns the function that trains one trial for `length` steps.

    It maps the optimizer, the parameters, the state, the trial's key and the number of the first
    step to the new parameters and state and the losses of all steps.
    """

    def train(opt, params, state, key, first):
        batches, own = jax.random.fold_in(key, _BATCHES), jax.random.fold_in(key, _OPTIMIZER)

        def step(carry, count):
            batch = problem.sample(jax.random.fold_in(batches, count))
            draws = jax.random.fold_in(own, count)
            params, state = carry
            params, state, loss = training_step(problem, opt, params, state, batch, draws)
            return (params, state), loss

        (params, state), losses = jax.lax.scan(step, (params, state), first + jnp.arange(length))
        return params, state, losses

    return train


@dataclasses.dataclass(frozen=True)
class Compiled:
    """A compiled program and what it took to make it.

    Args:
        call: the program.
        trace_seconds: time to trace and lower it [s].
        compile_seconds: time to compile it [s].
    """

    call: Any
    trace_seconds: float
    compile_seconds: float

    @property
    def seconds(self) -> float:
        """Time until the program could run [s]."""
        return self.trace_seconds + self.compile_seconds


def compiled(
    function: Callable[..., Any], *arguments: Any, donate: tuple[int, ...] = ()
) -> Compiled:
    """Compiles a function for arguments of these shapes.

    Args:
        function: the function.
        *arguments: arrays or shapes.
        donate: positions of the arguments whose memory the results may take over.

    Returns:
        The compiled program with the times.
    """
    start = time.perf_counter()
    # A new function object each time: jit would find the trace of an old one in its cache.
    lowered = jax.jit(lambda *args: function(*args), donate_argnums=donate).lower(*arguments)
    traced = time.perf_counter()
    program = lowered.compile()
    return Compiled(program, traced - start, time.perf_counter() - traced)


def peak_bytes(program: Compiled) -> int | None:
    """Returns the peak memory by the compiled program's own analysis, None where it has none."""
    analysis = program.call.memory_analysis()
    if analysis is None:
        return None
    arguments = analysis.argument_size_in_bytes - analysis.alias_size_in_bytes
    return int(arguments + analysis.output_size_in_bytes + analysis.temp_size_in_bytes)


MEMORY_SOURCE = "XLA's analysis of the compiled program"


def trial_keys(seeds: tuple[int, ...]) -> jax.Array:
    """Returns one raw key per seed."""
    return jnp.stack([jax.random.PRNGKey(seed) for seed in seeds])


@dataclasses.dataclass
class ProblemPrograms:
    """The programs that every optimizer on a problem shares, each compiled at its first use.

    Args:
        problem: the problem.
        seeds: the seeds.
    """

    problem: Problem
    seeds: tuple[int, ...]

    def __post_init__(self) -> None:
        self.seconds = 0.0
        self._evaluations: dict[int, Compiled] = {}

    @functools.cached_property
    def initial(self) -> Any:
        """The initial parameters of every seed, leading axis seeds."""

        def start(keys):
            return jax.vmap(lambda key: self.problem.init(jax.random.fold_in(key, _INITIAL)))(keys)

        keys = trial_keys(self.seeds)
        program = compiled(start, keys)
        self.seconds += program.seconds
        return program.call(keys)

    def evaluate(self, params: Any) -> jax.Array:
        """Evaluates the metric of all lanes, `[rates, seeds]`."""
        rows = jax.tree.leaves(params)[0].shape[0]
        if rows not in self._evaluations:
            both = jax.vmap(jax.vmap(self.problem.evaluate))
            self._evaluations[rows] = compiled(both, params)
            self.seconds += self._evaluations[rows].seconds
        return self._evaluations[rows].call(params)


@functools.lru_cache(maxsize=8)
def shared(problem: Problem, seeds: tuple[int, ...]) -> ProblemPrograms:
    """Returns the programs of a problem; the same ones for the same problem."""
    return ProblemPrograms(problem, seeds)


@dataclasses.dataclass
class GroupPrograms:
    """The programs of one group.

    Args:
        problem: the problem.
        opts: the optimizers of its rows, stacked.
        seeds: the seeds of every row.
        length: training steps per segment.

    Attributes:
        start: the initial parameters and states of all lanes.
    """

    problem: Problem
    opts: gl.Transform
    seeds: tuple[int, ...]
    length: int

    def __post_init__(self) -> None:
        self._shared = shared(self.problem, self.seeds)
        before = self._shared.seconds
        self.opts = gl.as_arrays(self.opts)
        self.keys = trial_keys(self.seeds)
        axes = gl.axes(self.opts)
        rows = jax.tree.leaves(self.opts)[0].shape[0]
        params = jax.tree.map(
            lambda leaf: jnp.broadcast_to(leaf, (rows, *leaf.shape)), self._shared.initial
        )
        over_seeds = jax.vmap(lambda opt, params: opt.init(params), in_axes=(None, 0))
        init = compiled(jax.vmap(over_seeds, in_axes=(axes, 0)), self.opts, params)
        self.start = params, init.call(self.opts, params)
        over_seeds = jax.vmap(segment(self.problem, self.length), in_axes=(None, 0, 0, 0, None))
        over_rates = jax.vmap(over_seeds, in_axes=(axes, 0, 0, None, None))
        arguments = (self.opts, *self.start, self.keys, jnp.int32(0))
        self._segment = compiled(over_rates, *arguments, donate=(1, 2))
        self._seconds = init.seconds + self._segment.seconds + self._shared.seconds - before

    @property
    def compile_seconds(self) -> float:
        """Time spent tracing and compiling for this group [s]."""
        return self._seconds

    @property
    def peak_bytes(self) -> int | None:
        """Peak memory of the segment program by its own analysis [bytes]."""
        return peak_bytes(self._segment)

    def run(self, params: Any, state: Any, first: int) -> tuple[Any, Any, jax.Array]:
        """Trains all lanes for one segment; the memory of `params` and `state` is given up."""
        return self._segment.call(self.opts, params, state, self.keys, jnp.int32(first))

    def evaluate(self, params: Any) -> jax.Array:
        """Evaluates the metric of all lanes, `[rates, seeds]`."""
        before = self._shared.seconds
        values = self._shared.evaluate(params)
        self._seconds += self._shared.seconds - before
        return values
