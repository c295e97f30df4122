"""(tree, strength, scaling) → tree: proximal operators, under the names that jaxopt gave them.

`prox_h(tree, strength, scaling)` minimises ½‖tree − y‖² + scaling · strength · h(y) over y.
"""

from gradlab.prox._make_prox_from_projection import (
    make_prox_from_projection as make_prox_from_projection,
)
from gradlab.prox._prox_cel0 import prox_cel0 as prox_cel0
from gradlab.prox._prox_elastic_net import prox_elastic_net as prox_elastic_net
from gradlab.prox._prox_group_lasso import prox_group_lasso as prox_group_lasso
from gradlab.prox._prox_half import prox_half as prox_half
from gradlab.prox._prox_hard import prox_hard as prox_hard
from gradlab.prox._prox_huber import prox_huber as prox_huber
from gradlab.prox._prox_lasso import prox_lasso as prox_lasso
from gradlab.prox._prox_linf import prox_linf as prox_linf
from gradlab.prox._prox_log_barrier import prox_log_barrier as prox_log_barrier
from gradlab.prox._prox_mcp import prox_mcp as prox_mcp
from gradlab.prox._prox_non_negative_lasso import prox_non_negative_lasso as prox_non_negative_lasso
from gradlab.prox._prox_non_negative_ridge import prox_non_negative_ridge as prox_non_negative_ridge
from gradlab.prox._prox_none import prox_none as prox_none
from gradlab.prox._prox_nuclear_norm import prox_nuclear_norm as prox_nuclear_norm
from gradlab.prox._prox_ridge import prox_ridge as prox_ridge
from gradlab.prox._prox_scad import prox_scad as prox_scad
from gradlab.prox._prox_total_variation import prox_total_variation as prox_total_variation
