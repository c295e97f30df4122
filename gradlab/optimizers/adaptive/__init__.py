"""Rules that divide by a running size of the gradient, coordinate by coordinate."""

from gradlab.optimizers.adaptive._adabelief import adabelief as adabelief
from gradlab.optimizers.adaptive._adagrad import adagrad as adagrad
from gradlab.optimizers.adaptive._adam import adam as adam
from gradlab.optimizers.adaptive._adamax import adamax as adamax
from gradlab.optimizers.adaptive._adams import adams as adams
from gradlab.optimizers.adaptive._adamw import adamw as adamw
from gradlab.optimizers.adaptive._ademamix import ademamix as ademamix
from gradlab.optimizers.adaptive._adopt import adopt as adopt
from gradlab.optimizers.adaptive._amsgrad import amsgrad as amsgrad
from gradlab.optimizers.adaptive._laprop import laprop as laprop
from gradlab.optimizers.adaptive._nadam import nadam as nadam
from gradlab.optimizers.adaptive._nadamw import nadamw as nadamw
from gradlab.optimizers.adaptive._radam import radam as radam
from gradlab.optimizers.adaptive._rmsprop import rmsprop as rmsprop
from gradlab.optimizers.adaptive._sadam import sadam as sadam
from gradlab.optimizers.adaptive._scale_by import scale_by_adam as scale_by_adam
from gradlab.optimizers.adaptive._scale_by import scale_by_adamax as scale_by_adamax
from gradlab.optimizers.adaptive._scale_by import scale_by_ademamix as scale_by_ademamix
from gradlab.optimizers.adaptive._scale_by import scale_by_adopt as scale_by_adopt
from gradlab.optimizers.adaptive._scale_by import scale_by_amsgrad as scale_by_amsgrad
from gradlab.optimizers.adaptive._scale_by import scale_by_belief as scale_by_belief
from gradlab.optimizers.adaptive._scale_by import scale_by_laprop as scale_by_laprop
from gradlab.optimizers.adaptive._scale_by import scale_by_radam as scale_by_radam
from gradlab.optimizers.adaptive._scale_by import scale_by_rms as scale_by_rms
from gradlab.optimizers.adaptive._scale_by import scale_by_rss as scale_by_rss
from gradlab.optimizers.adaptive._scale_by import scale_by_stddev as scale_by_stddev
