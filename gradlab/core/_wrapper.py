"""What every rule around one inner transformation does alike."""

from __future__ import annotations

from typing import Any, ClassVar

from gradlab.core._fields import hyper
from gradlab.core._rule import Rule, Transform
from gradlab.core._types import Params, Updates


class Around(Rule):
    """A rule around one inner transformation, which stays in reach, whatever it is called.

    Attributes:
      inner_field: the field that holds the transformation.
      inner_state_field: the field of the state that holds the transformation's.
      keeps_updates: whether the steps of the inner optimizer go out as they are, or not at
        all.
    """

    inner_field: ClassVar[str] = "inner"
    inner_state_field: ClassVar[str] = "inner_state"
    keeps_updates: ClassVar[bool] = True

    @property
    def inner_rule(self) -> Rule:
        return getattr(self, self.inner_field).rule

    def check_composition(self) -> None:
        if self.keeps_updates or not self.inner_rule.settles_params():
            return
        inner, own = self.inner_rule.owner(), self.owner()
        remedy = f"write {inner}({own}(…))"
        if self.settles and not self.inner_rule.shows_wide_updates():
            remedy = f"the two cannot be put together, as {own} relies on that, too"
        raise ValueError(
            f"{own}: {self.inner_field}={inner}(…) relies on it that parameters land where its "
            f"updates say, and {own} changes them; {remedy}"
        )

    def settles_params(self) -> bool:
        return self.settles or self.inner_rule.settles_params()

    def required(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self.needs + self.inner_rule.required()))

    def declared(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self.required() + self.inner_rule.declared()))

    def allows_unknown_extra(self) -> bool:
        return self.inner_rule.allows_unknown_extra()

    def shows_wide_updates(self) -> bool:
        return self.wide_updates or self.inner_rule.shows_wide_updates()

    def inner_states(self, state: Any) -> dict[str, Any]:
        return {self.inner_field: getattr(state, self.inner_state_field)}

    def in_order(self, state: Any, updates: Updates, params: Params | None) -> Any:
        inner_state = getattr(state, self.inner_state_field)
        inner_state = self.inner_rule.in_order(inner_state, updates, params)
        return state._replace(**{self.inner_state_field: inner_state})


class Wrapper(Around):
    """A rule around `inner`, whose state is the field `inner_state` of a named tuple."""

    inner: Transform = hyper()
