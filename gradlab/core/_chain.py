"""Composition: several transformations, one after the other."""

from __future__ import annotations

import inspect
from collections import OrderedDict
from typing import Any

import optax

from gradlab.core import _tree
from gradlab.core._fields import flag, hyper, static
from gradlab.core._rule import Rule, Transform
from gradlab.core._types import Params, Updates


class Chain(Rule):
    """Applies its links in order; the state is the tuple of their states."""

    links: tuple[Transform, ...] = hyper()
    strict: bool = static(default=False, convert=flag)

    def init(self, params: Params) -> Any:
        return tuple(link.rule.init(params) for link in self.links)

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, Any]:
        new_state = []
        for link, link_state in self.pairs(state):
            updates, link_state = link.rule.update(updates, link_state, params, **extra)
            new_state.append(link_state)
        return updates, tuple(new_state)

    def clipped_update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, Any, Any]:
        new_state, norm = [], None
        for link, part in self.pairs(state):
            updates, part, clipped = link.rule.clipped_update(updates, part, params, **extra)
            new_state.append(part)
            norm = norm if clipped is None else clipped
        return updates, tuple(new_state), norm

    def pairs(self, state: Any) -> list[tuple[Transform, Any]]:
        """Each link with its part of the state."""
        if len(state) != len(self.links):
            raise ValueError(
                f"chain: the state has {len(state)} parts for {len(self.links)} links; "
                "was it made by another optimizer's init?"
            )
        return list(zip(self.links, state, strict=True))

    def in_order(self, state: Any, updates: Updates, params: Params | None) -> Any:
        parts = zip(self.links, state, strict=True)
        return tuple(link.rule.in_order(part, updates, params) for link, part in parts)

    def inner_states(self, state: Any) -> dict[str, Any]:
        return {"links": state}

    def declared(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for link in self.links for name in link.rule.declared()))

    def required(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for link in self.links for name in link.rule.required()))

    def check_composition(self) -> None:
        for link in self.links[:-1]:
            if link.rule.settles_params():
                raise ValueError(
                    f"{self.owner()}: {link.rule.owner()}(…) relies on it that parameters land "
                    "where its updates say; it has to be the last link"
                )

    def settles_params(self) -> bool:
        return bool(self.links) and self.links[-1].rule.settles_params()

    def allows_unknown_extra(self) -> bool:
        return not self.strict and all(link.rule.allows_unknown_extra() for link in self.links)

    def shows_wide_updates(self) -> bool:
        # What comes after a link that chose where parameters land would move them again.
        return bool(self.links) and self.links[-1].rule.shows_wide_updates()

    def __repr__(self) -> str:
        parts = [repr(link) for link in self.links]
        return f"chain({', '.join(parts + ['strict=True'] * self.strict)})"


class NamedChain(Chain):
    """A chain whose links and states are called by name; the state is an ordered dict."""

    names: tuple[str, ...] = static()

    def init(self, params: Params) -> Any:
        return OrderedDict(zip(self.names, super().init(params), strict=True))

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, Any]:
        updates, parts = super().update(updates, self.parts(state), params, **extra)
        return updates, OrderedDict(zip(self.names, parts, strict=True))

    def clipped_update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, Any, Any]:
        updates, parts, norm = super().clipped_update(updates, self.parts(state), params, **extra)
        return updates, OrderedDict(zip(self.names, parts, strict=True)), norm

    def parts(self, state: Any) -> tuple:
        """The parts of the state, in the order of the links."""
        missing = [name for name in self.names if name not in state]
        if missing:
            raise ValueError(f"named_chain: the state has no part {missing[0]!r}")
        return tuple(state[name] for name in self.names)

    def in_order(self, state: Any, updates: Updates, params: Params | None) -> Any:
        parts = super().in_order(self.parts(state), updates, params)
        return dict(zip(self.names, parts, strict=True))

    def inner_states(self, state: Any) -> dict[str, Any]:
        return {"links": self.parts(state)}

    def __repr__(self) -> str:
        pairs = zip(self.names, self.links, strict=True)
        return f"named_chain({', '.join(f'({name!r}, {link!r})' for name, link in pairs)})"


class Foreign(Rule):
    """Any other optax transformation, in a node without leaves."""

    transformation: optax.GradientTransformationExtraArgs = static()

    def init(self, params: Params) -> Any:
        return self.transformation.init(params)

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, Any]:
        # Foreign rules store what they compute in, so they are handed the dtype that
        # they would have been handed by optax.
        if params is not None:
            updates = _tree.cast_like(updates, params)
        return self.transformation.update(updates, state, params, **extra)

    def declared(self) -> tuple[str, ...]:
        parameters = list(inspect.signature(self.transformation.update).parameters.values())
        named = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        return tuple(p.name for p in parameters[3:] if p.kind in named)

    def __repr__(self) -> str:
        name = getattr(self.transformation.init, "__qualname__", "transformation")
        return f"<{name.split('.')[0]}>"


def adopt_transform(value: Any, owner: str = "chain") -> Transform:
    """A transformation as data: ours unchanged, a foreign one wrapped.

    Args:
      value: a gradlab transform, or any `(init, update)` pair of optax's kind.
      owner: the function that was given it, for messages.

    Returns:
      A transform. A foreign one has no leaves and compares by identity.

    Raises:
      TypeError: not a transformation.
    """
    if isinstance(value, Transform):
        return value
    if not isinstance(value, optax.GradientTransformation):
        raise TypeError(
            f"{owner}: expected a gradient transformation, got {value!r}"
            + (" (was it called?)" if callable(value) else "")
        )
    return Transform(Foreign(transformation=optax.with_extra_args_support(value)))


def chain(*links: optax.GradientTransformation, strict: bool = False) -> Transform:
    """Applies transformations in order, the output of one as the input of the next.

    Args:
      *links: gradlab transforms, whose hyperparameters stay leaves
        (`links[0].max_norm`), and foreign optax transformations, which have none.
      strict: raise for an extra argument of `update` that no link declares. Otherwise
        unknown names pass through to every link, as in optax.

    Returns:
      The composition. Its state is the tuple of the states of its links.

    Raises:
      TypeError: a link is not a gradient transformation.
      ValueError: a link that has to be the last one is not.

    Example:
      >>> import gradlab as gl
      >>> opt = gl.chain(gl.clip_by_global_norm(1.0), gl.sgd(0.1))
      >>> gl.hyperparameters(opt)
      {'links[0].max_norm': 1.0, 'links[1].learning_rate': 0.1}
    """
    rule = Chain(links=tuple(map(adopt_transform, links)), strict=flag(strict))
    rule.check_composition()
    return Transform(rule)


def named_chain(*links: tuple[str, optax.GradientTransformation]) -> Transform:
    """A chain whose links have names, by which its state is a dict.

    Args:
      *links: pairs of a name and a transformation.

    Returns:
      The composition.

    Raises:
      ValueError: two links have the same name, or one that has to be the last is not.
    """
    names = tuple(name for name, _ in links)
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"named_chain: the name {name!r} stands for two links")
    parts = tuple(adopt_transform(link, "named_chain") for _, link in links)
    rule = NamedChain(links=parts, names=names)
    rule.check_composition()
    return Transform(rule)


Chain.public = staticmethod(chain)
NamedChain.public = staticmethod(named_chain)
