"""Steps of a graph of problems, and derivatives through best responses of its levels."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax

from gradlab import core
from gradlab.core import part
from gradlab.meta import _linear
from gradlab.meta._implicit_hypergradient import ImplicitReport
from gradlab.meta.graph._levels import Levels
from gradlab.meta.graph._problem import Problem
from gradlab.meta.graph._responses import HeldResponse, Seen, UnrolledResponse


class GraphState(NamedTuple):
    """Where the variables of all problems are.

    Attributes:
      count: how many steps were taken.
      variables: of each problem, by name.
      optimizer_states: of each problem's optimizer, by name.
    """

    count: jax.Array
    variables: dict[str, Any]
    optimizer_states: dict[str, Any]


class LevelGradient(NamedTuple):
    """The derivative of a problem's loss by its variables, with the problems below at their best.

    Attributes:
      value: the loss.
      gradient: its total derivative, a tree like the variables.
      reports: for each problem below that responds, an `ImplicitReport`: what its product with the
        Jacobian of the best response is worth.
    """

    value: jax.Array
    gradient: Any
    reports: dict[str, ImplicitReport]


class GraphReport(NamedTuple):
    """What one step saw; the dicts are by name.

    Attributes:
      stepped: whether the problem stepped.
      losses: its loss before that; NaN where it did not step.
      responses: for the problems below it that respond, an `ImplicitReport` each. Where the
        problem did not step, numbers are NaN, counts zero, and no flag is set.
    """

    stepped: dict[str, jax.Array]
    losses: dict[str, jax.Array]
    responses: dict[str, dict[str, ImplicitReport]]


class _Place(NamedTuple):
    """All that a gradient depends on beside the variables that it is taken in."""

    graph: Any
    variables: dict[str, Any]
    optimizer_states: dict[str, Any]
    batches: dict[str, Any]
    key: Any


class ProblemGraph(core.Data):
    """Problems from the lowest to the highest; see `problem_graph`."""

    problems: tuple[Problem, ...] = part(convert=lambda value: _problems(value))

    def present(self) -> ProblemGraph:
        levels = self.levels.checked(self.owner())
        asked = {lower for name in levels.names for lower in levels.below(name)}
        # A leaf without effect is none: nobody asks how the highest level would respond.
        problems = tuple(
            one if one.name in asked else one.with_values(response=HeldResponse())
            for one in self.problems
        )
        return self.with_values(problems=problems)

    @property
    def levels(self) -> Levels:
        """The order of the problems, and what depends on what."""
        return Levels(
            tuple(p.name for p in self.problems),
            tuple(p.depends for p in self.problems),
            frozenset(p.name for p in self.problems if isinstance(p.response, HeldResponse)),
        )

    @property
    def edges(self) -> dict[str, Any]:
        """Who tells whom: `edges["u2l"][name]`, downwards, and `edges["l2u"][name]`, upwards."""
        return self.levels.edges

    def paths(self, name: str) -> list[tuple[str, ...]]:
        """The ways from the loss of a problem through best responses back to its variables."""
        self._known("problem", (name,))
        return self.levels.paths(name)

    def init(self, variables: dict[str, Any]) -> GraphState:
        """The state before the first step.

        Args:
          variables: of each problem, by name, a tree of real arrays.

        Raises:
          TypeError: a variable is not real.
          ValueError: the names are not those of the problems.
        """
        self._known("variables", variables)
        for name in self.levels.names:
            if name not in variables:
                raise ValueError(f"{self.owner()}: variables of the problem {name!r} are missing")
            _linear.check_real(self.owner(), f"variables[{name!r}]", variables[name])
        placed = {n: jax.tree.map(jnp.asarray, variables[n]) for n in self.levels.names}
        states = {p.name: p.optimizer.init(placed[p.name]) for p in self.problems}
        return GraphState(core.step_count(), placed, states)

    def step(
        self, state: GraphState, batches: dict[str, Any] | None = None, key: Any = None
    ) -> tuple[GraphState, GraphReport]:
        """One step of each problem whose time it is, from the lowest to the highest.

        A problem sees the steps that those below it have just made.

        Args:
          state: from `init` or `step`.
          batches: what the losses are evaluated on, by name; a loss without one is given None. The
            batch of a problem serves its own step and its response to the problems above.
          key: a PRNG key, for `implicit_hypergradient("nystrom", …)` and for optimizers that draw.

        Returns:
          The new state, in the dtypes of the old one, and what was seen.

        Raises:
          RuntimeError: a response failed, and its `on_failure` is `"raise"`.
          ValueError: a batch is of no problem.
        """
        seen: dict[str, tuple] = {}
        now = state
        for problem in self.problems:
            move = functools.partial(self._move, problem.name, batches=batches, key=key)
            if problem.every == 1:
                now, found = move(now)
                seen[problem.name] = (jnp.asarray(True), *found)
                continue
            due = (state.count + 1) % problem.every == 0
            blank = jax.tree.map(_blank, jax.eval_shape(lambda s, move=move: move(s)[1], now))
            now, found = lax.cond(due, move, lambda s, blank=blank: (s, blank), now)
            seen[problem.name] = (due, *found)
        report = GraphReport(*({n: one[i] for n, one in seen.items()} for i in range(3)))
        return now._replace(count=state.count + 1), report

    def gradient(
        self, name: str, state: GraphState, batches: dict[str, Any] | None = None, key: Any = None
    ) -> LevelGradient:
        """The total derivative of a problem's loss by its variables.

        Args:
          name: the problem.
          state: where all variables are.
          batches: as in `step`.
          key: as in `step`.

        Returns:
          The loss, its derivative, and what the responses below are worth.
        """
        self._known("problem", (name,))
        place = self._place(state, batches, key)
        return self._gradient(name, {name: state.variables[name]}, place)

    def _move(
        self, name: str, state: GraphState, batches: dict[str, Any] | None, key: Any
    ) -> tuple[GraphState, tuple[jax.Array, dict[str, ImplicitReport]]]:
        """The state after a step of one problem, its loss before that, and its reports."""
        problem, place = self._problem(name), self._place(state, batches, key)
        mine = state.variables[name]
        found = self._gradient(name, {name: mine}, place)
        mine, own = self._trained(problem, mine, state.optimizer_states[name], place, found)
        moved = GraphState(
            state.count,
            {**state.variables, name: mine},
            {**state.optimizer_states, name: own},
        )
        return core.keep_dtypes(moved, state), (found.value, found.reports)

    def _trained(
        self, problem: Problem, mine: Any, own: Any, place: _Place, found: LevelGradient
    ) -> tuple[Any, Any]:
        """The variables and the optimizer's state after a step along a gradient."""
        extra = {
            "value": found.value,
            "grad": found.gradient,
            "value_fn": lambda x: self._total(problem.name, x, {}, place),
            "grad_fn": lambda x: self._gradient(problem.name, {problem.name: x}, place).gradient,
        }
        if place.key is not None:
            extra["key"] = _key_of(place, problem.name)
        updates, own = problem.optimizer.update(found.gradient, own, mine, **extra)
        mine = optax.apply_updates(mine, updates)
        return mine if problem.project is None else problem.project(mine), own

    def _gradient(
        self, name: str, given: dict[str, Any], place: _Place, as_numbers: bool = True
    ) -> LevelGradient:
        """Direct slopes first; then each problem below, from the lowest, passes its own on."""
        levels = self.levels
        moving = (*levels.moving(name, (name,)), name)
        values = self._resolved(name, given, place, as_numbers)

        def loss(moved: dict[str, Any]) -> jax.Array:
            return self._loss(name, {**values, **moved}, place)

        read = {n: values[n] for n in moving if n in (name, *levels.of(name))}
        value, slopes = jax.value_and_grad(loss)(read)
        reports = {}
        for lower in moving[:-1]:
            if lower not in slopes:
                continue  # it is heard of through those above it alone
            above = {n: values[n] for n in levels.above(lower)}
            wanted = {n: above.pop(n) for n in moving if n in above}
            response: Any = self._problem(lower).response
            key = _key_of(place, lower)
            pulled, reports[lower] = response.pull(
                _seen(lower, place, above), values[lower], wanted, slopes[lower], key
            )
            for n, more in pulled.items():
                slopes[n] = jax.tree.map(jnp.add, slopes[n], more) if n in slopes else more
        return LevelGradient(value, slopes[name], reports)

    def _total(self, name: str, mine: Any, above: dict[str, Any], place: _Place) -> jax.Array:
        """The loss of a problem with those below it at their best responses."""
        return self._loss(name, self._resolved(name, {**above, name: mine}, place), place)

    def _resolved(
        self, name: str, given: dict[str, Any], place: _Place, as_numbers: bool = False
    ) -> dict[str, Any]:
        """All variables, where those below a problem are best responses to the given ones.

        As numbers, they are where they are, and move with nothing.
        """
        values, levels = {**place.variables, **given}, self.levels
        for lower in reversed(levels.moving(name, tuple(given))):
            above = {n: values[n] for n in levels.above(lower)}
            if isinstance(self._problem(lower).response, UnrolledResponse):
                values[lower] = _ahead(lower, place, above)
            elif not as_numbers:
                values[lower] = _best_response(lower, place, above)
        return values

    def _loss(self, name: str, values: dict[str, Any], place: _Place) -> jax.Array:
        problem = self._problem(name)
        read = {n: values[n] for n in (name, *problem.depends)}
        try:
            return problem.loss(read, place.batches.get(name))
        except KeyError as error:
            if error.args and error.args[0] in values:
                raise ValueError(
                    f"{self.owner()}: the loss of problem {name!r} reads the variables "
                    f"{error.args[0]!r}, which its depends= does not name"
                ) from error
            raise

    def _problem(self, name: str) -> Problem:
        return self.problems[self.levels.names.index(name)]

    def _place(self, state: GraphState, batches: Any, key: Any) -> _Place:
        batches = {} if batches is None else dict(batches)
        self._known("batches", batches)
        return _Place(self, state.variables, state.optimizer_states, batches, key)

    def _known(self, what: str, names: Any) -> None:
        for name in names:
            if name not in self.levels.names:
                raise ValueError(f"{self.owner()}: {core.unknown(what, name, self.levels.names)}")


def _seen(name: str, place: _Place, fixed: dict[str, Any]) -> Seen:
    """A problem as its response sees it, where some of the variables above it are constants."""
    graph = place.graph
    return Seen(
        f"{graph.owner()}: the response of problem {name!r}",
        lambda mine, above: graph._total(name, mine, {**fixed, **above}, place),
        lambda above: _ahead(name, place, {**fixed, **above}),
    )


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _best_response(name: str, place: _Place, above: dict[str, Any]) -> Any:
    """The variables of a problem, as what they are to the variables above it."""
    del above
    return place.variables[name]


def _respond_forward(name: str, place: _Place, above: dict[str, Any]) -> tuple[Any, tuple]:
    # What the way back reads moves with the variables above, too: for derivatives of it.
    mine = _best_response(name, place, above)
    return mine, (place, mine, above)


def _respond_backward(name: str, kept: tuple, v: Any) -> tuple[_Place, Any]:
    place, mine, above = kept
    response, key = place.graph._problem(name).response, _key_of(place, name)
    own = {n: v if n == name else None for n in place.variables}
    there = _Place(None, own, None, None, None)  # pyright: ignore[reportArgumentType]
    return there, response.pull_within(_seen(name, place, {}), mine, above, v, key)


_best_response.defvjp(_respond_forward, _respond_backward)


def _ahead(name: str, place: _Place, above: dict[str, Any]) -> Any:
    """Where more steps of a problem's optimizer lead, under the variables above it."""
    graph = place.graph
    problem = graph._problem(name)

    # What an optimizer may ask for is asked under the variables above that are given.
    now = place._replace(variables={**place.variables, **above})

    def body(carry: tuple[Any, Any], _: None) -> tuple[tuple[Any, Any], None]:
        mine, own = carry
        found = graph._gradient(name, {**above, name: mine}, place, as_numbers=False)
        moved = graph._trained(problem, mine, own, now, found)
        return core.keep_dtypes(moved, carry), None

    start = place.variables[name], place.optimizer_states[name]
    return lax.scan(body, start, None, length=problem.response.steps)[0][0]


def _key_of(place: _Place, name: str) -> Any:
    if place.key is None:
        return None
    return jax.random.fold_in(place.key, place.graph.levels.names.index(name))


def _blank(shape: Any) -> jax.Array:
    inexact = jnp.issubdtype(shape.dtype, jnp.inexact)
    return jnp.full(shape.shape, jnp.nan if inexact else 0, shape.dtype)


def _problems(value: Any) -> tuple[Problem, ...]:
    problems = tuple(value) if isinstance(value, tuple | list) else (value,)
    for one in problems:
        if not isinstance(one, Problem):
            raise TypeError(f"expected Problems, from the lowest to the highest, got {one!r}")
    return problems
