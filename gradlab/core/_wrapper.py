"""What every rule around one inner transformation does alike."""

from __future__ import annotations

from typing import Any

from gradlab.core._fields import hyper
from gradlab.core._rule import Rule, Transform
from gradlab.core._types import Params, Updates


class Wrapper(Rule):
    """A rule around an inner transformation, which stays in reach.

    The state of a subclass is a named tuple with a field `inner_state`.
    """

    inner: Transform = hyper()

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
