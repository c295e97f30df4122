"""gradlab: a differentiable optimizer zoo for JAX, in which an optimizer is data.

    import gradlab as gl

    opt = gl.adamw(1e-3)                         # what optax has, under optax's names
    gl.replace(opt, learning_rate=3e-4)          # change a hyperparameter
    gl.stack([gl.adamw(lr) for lr in rates])     # a sweep is an array axis, for jax.vmap
    jax.grad(loss_after_training)(opt)           # hypergradients, shaped like the optimizer

Every public name of optax is reachable here under the same path.
"""

from typing import Any as _Any

from gradlab import _optax
from gradlab import aggregators as aggregators
from gradlab import catalog as catalog
from gradlab import contrib as contrib
from gradlab import core as core
from gradlab import linalg as linalg
from gradlab import meta as meta
from gradlab import optimizers as optimizers
from gradlab import projections as projections
from gradlab import prox as prox
from gradlab import regularizers as regularizers
from gradlab import schedules as schedules
from gradlab import solvers as solvers
from gradlab import testing as testing
from gradlab import transforms as transforms
from gradlab import wrappers as wrappers
from gradlab._optax import *
from gradlab._version import __version__ as __version__
from gradlab.aggregators import *
from gradlab.catalog import from_name as from_name
from gradlab.core import Optimizer as Optimizer
from gradlab.core import Rule as Rule
from gradlab.core import Transform as Transform
from gradlab.core import as_arrays as as_arrays
from gradlab.core import axes as axes
from gradlab.core import by_path as by_path
from gradlab.core import chain as chain
from gradlab.core import check as check
from gradlab.core import concrete as concrete
from gradlab.core import current as current
from gradlab.core import eval_params as eval_params
from gradlab.core import global_norm as global_norm
from gradlab.core import hyperparameters as hyperparameters
from gradlab.core import measurements as measurements
from gradlab.core import migrate_state as migrate_state
from gradlab.core import named_chain as named_chain
from gradlab.core import replace as replace
from gradlab.core import reset as reset
from gradlab.core import stack as stack
from gradlab.core import state_sharding as state_sharding
from gradlab.core import unstack as unstack
from gradlab.optimizers.adaptive import *
from gradlab.optimizers.games import *
from gradlab.optimizers.matrix import *
from gradlab.optimizers.momentum import *
from gradlab.optimizers.proximal import *
from gradlab.optimizers.sign import *
from gradlab.regularizers import *
from gradlab.schedules import *
from gradlab.transforms import *
from gradlab.wrappers import *

_optax._alias_submodules(__name__)


def __getattr__(name: str) -> _Any:
    # Methods of the catalogue that have no line above, then what optax itself resolves
    # late: its deprecated names, with its warnings.
    if not name.startswith("_"):
        known = {entry.name: entry for entry in catalog.entries()}
        if name in known:
            return known[name].function
    return _optax._late_attribute(name)
