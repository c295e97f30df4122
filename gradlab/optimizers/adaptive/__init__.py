"""Rules that divide by a running size of the gradient, coordinate by coordinate."""

from gradlab.optimizers.adaptive._adam import adam as adam
from gradlab.optimizers.adaptive._adam import scale_by_adam as scale_by_adam
from gradlab.optimizers.adaptive._adamw import adamw as adamw
