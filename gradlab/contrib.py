"""What optax.contrib has, with gradlab's own rules in place of optax's where it has them."""

from optax.contrib import *

from gradlab.optimizers.adaptive import ademamix as ademamix
from gradlab.optimizers.adaptive import adopt as adopt
from gradlab.optimizers.adaptive import scale_by_ademamix as scale_by_ademamix
from gradlab.optimizers.adaptive import scale_by_adopt as scale_by_adopt
from gradlab.optimizers.matrix import muon as muon
from gradlab.optimizers.matrix import scale_by_muon as scale_by_muon
from gradlab.wrappers import schedule_free as schedule_free
from gradlab.wrappers import schedule_free_adamw as schedule_free_adamw
from gradlab.wrappers import schedule_free_eval_params as schedule_free_eval_params
from gradlab.wrappers import schedule_free_sgd as schedule_free_sgd
from gradlab.wrappers._sam_contrib import normalize as normalize
from gradlab.wrappers._sam_contrib import sam as sam
