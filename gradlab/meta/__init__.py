"""From a training run to its hypergradient.

Everything that an optimizer holds as data can be differentiated: these functions run training,
or use what is known of its end, and say how the result changes with the hyperparameters, the
initial parameters and the data.
"""

from gradlab.meta import bilevel as bilevel
from gradlab.meta._forward_value_and_grad import forward_value_and_grad as forward_value_and_grad
from gradlab.meta._low_variance_truncation import low_variance_truncation as low_variance_truncation
from gradlab.meta._mixed_horizons import MixedHorizons as MixedHorizons
from gradlab.meta._mixed_horizons import mixed_horizons as mixed_horizons
from gradlab.meta._unroll import Unrolled as Unrolled
from gradlab.meta._unroll import unroll as unroll
from gradlab.meta.bilevel import Batches as Batches
from gradlab.meta.bilevel import BilevelMethod as BilevelMethod
from gradlab.meta.bilevel import BilevelProblem as BilevelProblem
from gradlab.meta.bilevel import PerStep as PerStep
from gradlab.meta.bilevel import best_response_hypernetwork as best_response_hypernetwork
from gradlab.meta.bilevel import bo_rep as bo_rep
from gradlab.meta.bilevel import bsvrb as bsvrb
from gradlab.meta.bilevel import bsvrb_matrices as bsvrb_matrices
from gradlab.meta.bilevel import cold_start as cold_start
from gradlab.meta.bilevel import f2sa as f2sa
from gradlab.meta.bilevel import lv_hba as lv_hba
from gradlab.meta.bilevel import penalty_bilevel as penalty_bilevel
from gradlab.meta.bilevel import sl_bamm as sl_bamm
from gradlab.meta.bilevel import warm_start as warm_start
