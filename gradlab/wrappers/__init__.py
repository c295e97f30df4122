"""Optimizer → optimizer: what changes where or when an inner optimizer steps."""

from gradlab.wrappers._accumulate_gradients import accumulate_gradients as accumulate_gradients
from gradlab.wrappers._apply_if_finite import apply_if_finite as apply_if_finite
from gradlab.wrappers._asam import asam as asam
from gradlab.wrappers._average_iterates import average_iterates as average_iterates
from gradlab.wrappers._bsam import bsam as bsam
from gradlab.wrappers._cautious import cautious as cautious
from gradlab.wrappers._continual_backprop import continual_backprop as continual_backprop
from gradlab.wrappers._dnsam import dnsam as dnsam
from gradlab.wrappers._dynamic_loss_scale import dynamic_loss_scale as dynamic_loss_scale
from gradlab.wrappers._dynamic_loss_scale import scale_loss as scale_loss
from gradlab.wrappers._fish import fish as fish
from gradlab.wrappers._flat import flat as flat
from gradlab.wrappers._flat_params import FlatParams as FlatParams
from gradlab.wrappers._flat_params import flatten_params as flatten_params
from gradlab.wrappers._fosi import fosi as fosi
from gradlab.wrappers._friendly_sam import friendly_sam as friendly_sam
from gradlab.wrappers._gcsam import gcsam as gcsam
from gradlab.wrappers._gradient_norm_penalty import gradient_norm_penalty as gradient_norm_penalty
from gradlab.wrappers._granet import granet as granet
from gradlab.wrappers._gsam import gsam as gsam
from gradlab.wrappers._iterative_magnitude_pruning import (
    iterative_magnitude_pruning as iterative_magnitude_pruning,
)
from gradlab.wrappers._kahan_summation import kahan_summation as kahan_summation
from gradlab.wrappers._lawa import lawa as lawa
from gradlab.wrappers._lookahead import lookahead as lookahead
from gradlab.wrappers._looksam import looksam as looksam
from gradlab.wrappers._master_weights import master_weights as master_weights
from gradlab.wrappers._msam import msam as msam
from gradlab.wrappers._offload_state import offload_state as offload_state
from gradlab.wrappers._online_to_nonconvex import online_to_nonconvex as online_to_nonconvex
from gradlab.wrappers._partition import partition as partition
from gradlab.wrappers._proxy_prox import proxy_prox as proxy_prox
from gradlab.wrappers._quantize_state import quantize_state as quantize_state
from gradlab.wrappers._recycle_dormant_units import recycle_dormant_units as recycle_dormant_units
from gradlab.wrappers._sam import sam as sam
from gradlab.wrappers._schedule_free import schedule_free as schedule_free
from gradlab.wrappers._schedule_free import schedule_free_eval_params as schedule_free_eval_params
from gradlab.wrappers._schedule_free_adamw import schedule_free_adamw as schedule_free_adamw
from gradlab.wrappers._schedule_free_sgd import schedule_free_sgd as schedule_free_sgd
from gradlab.wrappers._stochastic_rounding import stochastic_rounding as stochastic_rounding
from gradlab.wrappers._swa import swa as swa
from gradlab.wrappers._target_space_surrogate import (
    target_space_surrogate as target_space_surrogate,
)
from gradlab.wrappers._usam import usam as usam
from gradlab.wrappers._watch import watch as watch
from gradlab.wrappers._weight_splitting import weight_splitting as weight_splitting
from gradlab.wrappers._wsam import wsam as wsam
from gradlab.wrappers._xgrad import xgrad as xgrad
