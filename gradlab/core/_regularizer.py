"""What a regularizer is: data that maps parameters to a penalty, or to other parameters."""

from __future__ import annotations

from typing import Any, ClassVar

import optax

from gradlab.core._data import Data
from gradlab.core._types import Params


class Regularizer(Data):
    """A function whose value is added to the loss, with its hyperparameters as leaves.

    Subclasses define `__call__`. Its first argument is the tree of parameters (or the array
    that is penalised), further ones are named in `needs`; its value is a scalar, in float32
    or wider. There is no hidden state: what a regularizer keeps of earlier parameters is what
    `init` returns, and is passed back in.

    Attributes:
      needs: what `__call__` takes beside the parameters, by name. `logits` stands in place of
        the parameters.
    """

    needs: ClassVar[tuple[str, ...]] = ()

    def init(self, params: Params) -> Any:
        """What it keeps of these parameters; nothing, unless a subclass says so."""
        del params
        return optax.EmptyState()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has to define __call__")


class Reparameterization(Regularizer):
    """A regularizer without a penalty: the loss is evaluated at what it makes of the parameters.

    Its value is a tree like the parameters, in their dtypes.
    """
