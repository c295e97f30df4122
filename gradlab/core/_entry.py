"""What the catalogue knows of a method; each method's file declares its own."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from gradlab.core._fields import Interval, interval_of, is_static
from gradlab.core._rule import data_of

ROOMS = (
    "aggregators",
    "estimators",
    "meta",
    "optimizers",
    "projections",
    "prox",
    "regularizers",
    "solvers",
    "transforms",
    "wrappers",
)

KINDS = {
    "meta": "hypergradient",
    "meta/bilevel": "bilevel",
    "meta/learned": "transformation",
    "projections": "operator",
    "prox": "operator",
    "regularizers": "regularizer",
    "solvers": "solver",
}
"""What the functions of a room, or of a family, are where they are no transformations."""


@dataclasses.dataclass(frozen=True)
class Traits:
    """What a method promises beyond the contract; each promise and each denial is tested.

    Of a regularizer, `smooth` is said of its gradient, and only `smooth`, `kinks`, `complex`
    and `stochastic` say anything. Of a hypergradient only `stochastic` and `biased` do; of an
    operator `elementwise`, `smooth`, `kinks`, `complex` and `expansive`.

    Attributes:
      elementwise: each coordinate's update depends on that coordinate alone.
      smooth: the update is differentiable in gradients, parameters and hyperparameters
        wherever the contract's probe evaluates it. Where not, `kinks` says why.
      kinks: one sentence on where the update is not differentiable and what derivative is
        taken there; empty for a smooth method.
      complex: defined for complex parameters.
      stochastic: draws random numbers, from a key in its state; a hypergradient from a key
        that it is given.
      gradient_evaluations: of the loss, for each step; the average over a period, where a
        step now and then takes more of them.
      temporaries: one sentence on why a compiled step of an elementwise method stores arrays
        as large as a parameter beside its arguments and results; empty where it stores none.
      narrow_state: one sentence on which arrays of the state have fewer than 32 bits beside
        narrow parameters, without being asked for; empty where none has.
      biased: one sentence on what a hypergradient leaves out, so that it (or its mean) does
        not come to the derivative of the outer objective; of a transformation, on what its
        derivatives take as constant; empty where nothing is left out.
      expansive: one sentence on why an operator takes some points further apart; empty where it
        is firmly non-expansive, as that of a convex function is.
    """

    elementwise: bool = True
    smooth: bool = True
    kinks: str = ""
    complex: bool = True
    stochastic: bool = False
    gradient_evaluations: float = 1
    temporaries: str = ""
    narrow_state: str = ""
    biased: str = ""
    expansive: str = ""


@dataclasses.dataclass(frozen=True)
class Entry:
    """One method of the catalogue.

    Attributes:
      function: the public function.
      formula: the update in one line of LaTeX or plain text.
      paper: keys of the bibliography.
      search_space: hyperparameter to `(low, high, "log" or "linear")`.
      example: keyword arguments that make a working instance.
      needs: extra arguments, and what else the method cannot do without: `matrices`,
        `stacked` (gradients with a leading axis of objectives), `descent` (updates that point
        downhill, as an optimizer makes them of gradients); for a regularizer what it is called
        with beside the parameters; for an operator what it acts on where that is not any tree:
        `matrices`, `symmetric` (square matrices), `vector` (one of length 5).
      traits: see `Traits`.
      extra: extra arguments that are not reserved, or reserved ones of another kind, from the
        parameters and the reserved ones: what the contract hands to `update`. They are made
        for any tree of parameters.
      estimate: of a hypergradient, `estimate(method, problem, x, key)` is what the method makes
        of the contract's problem at the outer variables x. Of a solver, `estimate(solver,
        problem, init, x)` is the solution that it finds from `init`.
      penalty: of an operator, the function h that it belongs to: `penalty(tree, **example)` is a
        real scalar, infinite where h is not defined; nothing of it is differentiated.
      room: the folder of the package; derived from the function's module by default.
      family: the folder within the room, or empty.
    """

    function: Callable[..., Any]
    formula: str
    paper: tuple[str, ...]
    example: Mapping[str, Any]
    search_space: Mapping[str, tuple[float, float, str]] = dataclasses.field(default_factory=dict)
    needs: tuple[str, ...] = ()
    traits: Traits = Traits()
    extra: Callable[[Any, dict[str, Any]], dict[str, Any]] | None = None
    estimate: Callable[[Any, Any, Any, Any], Any] | None = None
    penalty: Callable[..., Any] | None = None
    room: str = ""
    family: str = ""

    def __post_init__(self) -> None:
        parts = self.function.__module__.split(".")
        if not self.room:
            room = parts[1] if len(parts) > 2 and parts[1] in ROOMS else "optimizers"
            object.__setattr__(self, "room", room)
        if not self.family and len(parts) > 3:
            object.__setattr__(self, "family", parts[2])

    @property
    def name(self) -> str:
        return self.function.__name__

    @property
    def kind(self) -> str:
        """What the function makes: a `transformation`, or what `KINDS` says of its place."""
        place = f"{self.room}/{self.family}" if self.family else self.room
        return KINDS.get(place, KINDS.get(self.room, "transformation"))

    @property
    def makes_data(self) -> bool:
        """Whether the function makes something with hyperparameters, or is the method itself."""
        return self.kind == "transformation" or hasattr(self.function, "builds")

    @property
    def ids(self) -> tuple[str, ...]:
        """The keys of the bibliography that are numbers of the method list: `M009`."""
        return tuple(key for key in self.paper if key[0] == "M" and key[1:].isdigit())

    def make(self, **overrides: Any) -> Any:
        """A working instance: the example, with some arguments changed.

        Of a method that is a plain function: the function with these arguments.
        """
        arguments = {**self.example, **overrides}
        if self.makes_data:
            return self.function(**arguments)
        return functools.partial(self.function, **arguments)

    @property
    def summary(self) -> str:
        """The first sentence of the public docstring."""
        return (inspect.getdoc(self.function) or "").split("\n", 1)[0]

    @property
    def ranges(self) -> dict[str, Interval]:
        """Each hyperparameter's interval, in the order of the signature."""
        if not self.makes_data:
            return {}
        rule = data_of(self.make())
        fields = {f.name: f for f in dataclasses.fields(rule)}
        names = [n for n in inspect.signature(self.function).parameters if n in fields]
        return {n: interval_of(fields[n]) for n in names if not is_static(fields[n])}

    @property
    def defaults(self) -> dict[str, Any]:
        """Each argument's default; `inspect.Parameter.empty` where there is none."""
        return {n: p.default for n, p in inspect.signature(self.function).parameters.items()}
