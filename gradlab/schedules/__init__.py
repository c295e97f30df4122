"""Step → scalar: schedules as data, and everything else that optax.schedules has."""

from optax.schedules import InjectHyperparamsState as InjectHyperparamsState
from optax.schedules import InjectStatefulHyperparamsState as InjectStatefulHyperparamsState
from optax.schedules import Schedule as Schedule
from optax.schedules import StatefulSchedule as StatefulSchedule
from optax.schedules import WrappedSchedule as WrappedSchedule
from optax.schedules import inject_hyperparams as inject_hyperparams
from optax.schedules import inject_stateful_hyperparams as inject_stateful_hyperparams

from gradlab.schedules._cosine import cosine_decay_schedule as cosine_decay_schedule
from gradlab.schedules._cosine import sgdr_schedule as sgdr_schedule
from gradlab.schedules._cosine import warmup_cosine_decay_schedule as warmup_cosine_decay_schedule
from gradlab.schedules._exponential import exponential_decay as exponential_decay
from gradlab.schedules._exponential import (
    warmup_exponential_decay_schedule as warmup_exponential_decay_schedule,
)
from gradlab.schedules._join import join_schedules as join_schedules
from gradlab.schedules._piecewise import cosine_onecycle_schedule as cosine_onecycle_schedule
from gradlab.schedules._piecewise import linear_onecycle_schedule as linear_onecycle_schedule
from gradlab.schedules._piecewise import piecewise_constant_schedule as piecewise_constant_schedule
from gradlab.schedules._piecewise import (
    piecewise_interpolate_schedule as piecewise_interpolate_schedule,
)
from gradlab.schedules._polynomial import constant_schedule as constant_schedule
from gradlab.schedules._polynomial import linear_schedule as linear_schedule
from gradlab.schedules._polynomial import polynomial_schedule as polynomial_schedule
from gradlab.schedules._polynomial import warmup_constant_schedule as warmup_constant_schedule
from gradlab.schedules._untuned import palm_b2_schedule as palm_b2_schedule
from gradlab.schedules._untuned import untuned_warmup_schedule as untuned_warmup_schedule
