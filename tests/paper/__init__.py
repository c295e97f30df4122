"""Published algorithms in NumPy float64: one array, no framework, close to the page.

Update rules and gradient transformations are generators `method(gradients, x, **hyperparameters)`
that yield `(update, state)` for each gradient, where `state` maps the names of state fields to
arrays and `x` are the initial parameters, moved by `update`. Hyperparameters have optax's names,
and where optax made a choice that the paper did not, the default is optax's and the docstring says
so. Wrappers and aggregators have signatures of their own.

Decoupled weight decay is everywhere `-learning_rate * weight_decay * x`, read before the step.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

_SHARED = {
    "adamw": "adam",
    "adamax": "adam",
    "amsgrad": "adam",
    "nadam": "adam",
    "nadamw": "adam",
    "optimistic_adam_v2": "optimistic_adam",
    "optda_plus": "og_plus",
}


def transcription(method: str) -> Callable[..., Any]:
    """The transcription of a method, by its name in the catalogue."""
    module = importlib.import_module(f"{__name__}.{_SHARED.get(method, method)}")
    return getattr(module, method)
