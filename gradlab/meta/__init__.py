"""From a training run to its hypergradient.

Everything that an optimizer holds as data can be differentiated: these functions run training,
or use what is known of its end, and say how the result changes with the hyperparameters, the
initial parameters and the data.
"""

from gradlab.meta._unroll import Unrolled as Unrolled
from gradlab.meta._unroll import unroll as unroll
