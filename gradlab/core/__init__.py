"""What a gradient transformation is made of.

No method lives here. `Rule` holds hyperparameters and the mathematics of one step,
`Transform` presents a rule to optax, `Optimizer` adds weight decay and a learning rate
to a direction, `Chain` composes. The remaining modules are what rules are written with:
safe numerics, moments, trees with a dtype policy, write order, argument checks.
"""

from gradlab.core._batching import batch_by_shape as batch_by_shape
from gradlab.core._build import build as build
from gradlab.core._build import builds as builds
from gradlab.core._chain import Chain as Chain
from gradlab.core._chain import Foreign as Foreign
from gradlab.core._chain import NamedChain as NamedChain
from gradlab.core._chain import adopt_transform as adopt_transform
from gradlab.core._chain import chain as chain
from gradlab.core._chain import named_chain as named_chain
from gradlab.core._data import Data as Data
from gradlab.core._edit import as_arrays as as_arrays
from gradlab.core._edit import axes as axes
from gradlab.core._edit import check as check
from gradlab.core._edit import concrete as concrete
from gradlab.core._edit import current as current
from gradlab.core._edit import hyperparameters as hyperparameters
from gradlab.core._edit import intervals as intervals
from gradlab.core._edit import replace as replace
from gradlab.core._edit import stack as stack
from gradlab.core._edit import state_sharding as state_sharding
from gradlab.core._edit import unstack as unstack
from gradlab.core._entry import ROOMS as ROOMS
from gradlab.core._entry import Entry as Entry
from gradlab.core._entry import Traits as Traits
from gradlab.core._fields import Interval as Interval
from gradlab.core._fields import count_at_least as count_at_least
from gradlab.core._fields import dtype_or_none as dtype_or_none
from gradlab.core._fields import flag as flag
from gradlab.core._fields import freeze as freeze
from gradlab.core._fields import hyper as hyper
from gradlab.core._fields import one_of as one_of
from gradlab.core._fields import static as static
from gradlab.core._fields import thaw as thaw
from gradlab.core._keys import initial_key as initial_key
from gradlab.core._keys import seed_or_words as seed_or_words
from gradlab.core._moments import accumulate as accumulate
from gradlab.core._moments import average as average
from gradlab.core._moments import bias_correction as bias_correction
from gradlab.core._moments import debias as debias
from gradlab.core._moments import debias_mean as debias_mean
from gradlab.core._moments import look_ahead as look_ahead
from gradlab.core._names import nearest as nearest
from gradlab.core._names import unknown as unknown
from gradlab.core._numerics import abs_sq as abs_sq
from gradlab.core._numerics import absolute as absolute
from gradlab.core._numerics import divide as divide
from gradlab.core._numerics import global_norm as global_norm
from gradlab.core._numerics import inner_product as inner_product
from gradlab.core._numerics import norm as norm
from gradlab.core._numerics import reciprocal_sqrt as reciprocal_sqrt
from gradlab.core._numerics import sqrt as sqrt
from gradlab.core._optimizer import Optimizer as Optimizer
from gradlab.core._optimizer import decay_mask as decay_mask
from gradlab.core._order import written_after as written_after
from gradlab.core._rule import RESERVED as RESERVED
from gradlab.core._rule import Rule as Rule
from gradlab.core._rule import Transform as Transform
from gradlab.core._schedule import Schedule as Schedule
from gradlab.core._schedule import adopt_schedule as adopt_schedule
from gradlab.core._schedule import at as at
from gradlab.core._tree import flatten_like as flatten_like
from gradlab.core._tree import init_moments as init_moments
from gradlab.core._tree import is_none as is_none
from gradlab.core._tree import moments_like as moments_like
from gradlab.core._tree import step_count as step_count
from gradlab.core._types import DType as DType
from gradlab.core._types import Mask as Mask
from gradlab.core._types import Params as Params
from gradlab.core._types import Scalar as Scalar
from gradlab.core._types import ScalarOrSchedule as ScalarOrSchedule
from gradlab.core._types import Updates as Updates
