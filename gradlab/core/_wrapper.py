"""What every rule around one inner transformation does alike."""

from __future__ import annotations

from typing import Any, ClassVar

from gradlab.core._fields import hyper
from gradlab.core._rule import Rule, Transform
from gradlab.core._types import Params, Updates


class Wrapper(Rule):
    """A rule around an inner transformation, which stays in reach.

    The state of a subclass is a named tuple with a field `inner_state`.

    Attributes:
      keeps_updates: whether the steps of the inner optimizer go out as they are, or not at
        all.
    """

    keeps_updates: ClassVar[bool] = True

    inner: Transform = hyper()

    def check_composition(self) -> None:
        if self.inner.rule.settles_params() and not self.keeps_updates:
            inner, own = self.inner.rule.owner(), self.owner()
            raise ValueError(
                f"{own}: inner={inner}(…) relies on it that parameters land where its updates "
                f"say, and {own} changes them; write {inner}({own}(…))"
            )

    def settles_params(self) -> bool:
        return self.settles or self.inner.rule.settles_params()

    def required(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self.needs + self.inner.rule.required()))

    def declared(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self.required() + self.inner.rule.declared()))

    def allows_unknown_extra(self) -> bool:
        return self.inner.rule.allows_unknown_extra()

    def shows_wide_updates(self) -> bool:
        return self.wide_updates or self.inner.rule.shows_wide_updates()

    def inner_states(self, state: Any) -> dict[str, Any]:
        return {"inner": state.inner_state}

    def in_order(self, state: Any, updates: Updates, params: Params | None) -> Any:
        inner_state = self.inner.rule.in_order(state.inner_state, updates, params)
        return state._replace(inner_state=inner_state)
