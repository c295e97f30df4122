"""Rules whose step ends in a proximal operator, a projection or a mirror map."""

from gradlab.optimizers.proximal._mirror_descent import mirror_descent as mirror_descent
from gradlab.optimizers.proximal._projected_gradient import projected_gradient as projected_gradient
from gradlab.optimizers.proximal._proximal_gradient import proximal_gradient as proximal_gradient
