"""Rules that follow the gradient or an average of it."""

from gradlab.optimizers.momentum._sgd import sgd as sgd
from gradlab.optimizers.momentum._sgd import trace as trace
