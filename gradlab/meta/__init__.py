"""From a training run to its hypergradient.

Everything that an optimizer holds as data can be differentiated: these functions run training,
or use what is known of its end, and say how the result changes with the hyperparameters, the
initial parameters and the data.
"""

from gradlab.meta._forward_value_and_grad import forward_value_and_grad as forward_value_and_grad
from gradlab.meta._low_variance_truncation import (
    low_variance_truncation as low_variance_truncation,
)
from gradlab.meta._mixed_horizons import MixedHorizons as MixedHorizons
from gradlab.meta._mixed_horizons import mixed_horizons as mixed_horizons
from gradlab.meta._unroll import Unrolled as Unrolled
from gradlab.meta._unroll import unroll as unroll
