"""Bilevel problems: outer variables that are judged by where the inner ones settle.

`BilevelProblem` names the two objectives; each method is data with `init` and one `step`.
"""

from gradlab.meta.bilevel._best_response_hypernetwork import (
    best_response_hypernetwork as best_response_hypernetwork,
)
from gradlab.meta.bilevel._bo_rep import bo_rep as bo_rep
from gradlab.meta.bilevel._bsvrb import bsvrb as bsvrb
from gradlab.meta.bilevel._bsvrb_matrices import bsvrb_matrices as bsvrb_matrices
from gradlab.meta.bilevel._cold_start import cold_start as cold_start
from gradlab.meta.bilevel._f2sa import f2sa as f2sa
from gradlab.meta.bilevel._lv_hba import lv_hba as lv_hba
from gradlab.meta.bilevel._method import BilevelMethod as BilevelMethod
from gradlab.meta.bilevel._penalty_bilevel import penalty_bilevel as penalty_bilevel
from gradlab.meta.bilevel._problem import Batches as Batches
from gradlab.meta.bilevel._problem import BilevelProblem as BilevelProblem
from gradlab.meta.bilevel._problem import PerStep as PerStep
from gradlab.meta.bilevel._sl_bamm import sl_bamm as sl_bamm
from gradlab.meta.bilevel._warm_start import warm_start as warm_start
