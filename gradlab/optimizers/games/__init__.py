"""Rules for games: several players, each with an objective, whose gradients turn around."""

from gradlab.optimizers.games._complex_momentum import complex_momentum as complex_momentum
from gradlab.optimizers.games._complex_momentum import (
    scale_by_complex_momentum as scale_by_complex_momentum,
)
from gradlab.optimizers.games._og_plus import og_plus as og_plus
from gradlab.optimizers.games._optda_plus import optda_plus as optda_plus
from gradlab.optimizers.games._optimistic_adam import optimistic_adam as optimistic_adam
from gradlab.optimizers.games._optimistic_adam_v2 import optimistic_adam_v2 as optimistic_adam_v2
from gradlab.optimizers.games._optimistic_gradient_descent import (
    optimistic_gradient_descent as optimistic_gradient_descent,
)
from gradlab.optimizers.games._optimistic_gradient_descent import (
    scale_by_optimistic_gradient as scale_by_optimistic_gradient,
)
