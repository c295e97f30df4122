"""Differentiation through training: training run -> hypergradient."""

from gradlab.meta import bilevel as bilevel
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
