"""The part of optax's namespace that gradlab passes on, name for name.

Every public name stands here, so that type checkers see it; gradlab's own rules are
imported after these and take the place of those that they have in common. Deprecated
names of optax resolve late, with optax's own warnings.
"""

import importlib as _importlib
import sys as _sys
from typing import Any as _Any

import optax as _optax
from optax import AdaptiveGradClipState as AdaptiveGradClipState
from optax import AddDecayedWeightsState as AddDecayedWeightsState
from optax import AddNoiseState as AddNoiseState
from optax import ApplyEvery as ApplyEvery
from optax import ApplyIfFiniteState as ApplyIfFiniteState
from optax import ClipByGlobalNormState as ClipByGlobalNormState
from optax import ClipState as ClipState
from optax import ConditionallyMaskState as ConditionallyMaskState
from optax import ConditionallyTransformState as ConditionallyTransformState
from optax import EmaState as EmaState
from optax import EmptyState as EmptyState
from optax import FactoredState as FactoredState
from optax import GradientTransformation as GradientTransformation
from optax import GradientTransformationExtraArgs as GradientTransformationExtraArgs
from optax import InjectHyperparamsState as InjectHyperparamsState
from optax import InjectStatefulHyperparamsState as InjectStatefulHyperparamsState
from optax import LookaheadParams as LookaheadParams
from optax import LookaheadState as LookaheadState
from optax import MaskedNode as MaskedNode
from optax import MaskedState as MaskedState
from optax import MaskOrFn as MaskOrFn
from optax import MonitorState as MonitorState
from optax import MultiSteps as MultiSteps
from optax import MultiStepsState as MultiStepsState
from optax import MultiTransformState as MultiTransformState
from optax import NonNegativeParamsState as NonNegativeParamsState
from optax import OptState as OptState
from optax import Params as Params
from optax import PartitionState as PartitionState
from optax import ScalarOrSchedule as ScalarOrSchedule
from optax import ScaleByAdaDeltaState as ScaleByAdaDeltaState
from optax import ScaleByAdamState as ScaleByAdamState
from optax import ScaleByAdanState as ScaleByAdanState
from optax import ScaleByAmsgradState as ScaleByAmsgradState
from optax import ScaleByBacktrackingLinesearchState as ScaleByBacktrackingLinesearchState
from optax import ScaleByBeliefState as ScaleByBeliefState
from optax import ScaleByLBFGSState as ScaleByLBFGSState
from optax import ScaleByLionState as ScaleByLionState
from optax import ScaleByNovogradState as ScaleByNovogradState
from optax import ScaleByRmsState as ScaleByRmsState
from optax import ScaleByRpropState as ScaleByRpropState
from optax import ScaleByRssState as ScaleByRssState
from optax import ScaleByRStdDevState as ScaleByRStdDevState
from optax import ScaleByScheduleState as ScaleByScheduleState
from optax import ScaleBySM3State as ScaleBySM3State
from optax import ScaleByTrustRatioState as ScaleByTrustRatioState
from optax import ScaleByZoomLinesearchState as ScaleByZoomLinesearchState
from optax import ScaleState as ScaleState
from optax import Schedule as Schedule
from optax import ShouldSkipUpdateFunction as ShouldSkipUpdateFunction
from optax import SnapshotState as SnapshotState
from optax import TraceState as TraceState
from optax import TransformInitFn as TransformInitFn
from optax import TransformUpdateExtraArgsFn as TransformUpdateExtraArgsFn
from optax import TransformUpdateFn as TransformUpdateFn
from optax import Updates as Updates
from optax import WrappedSchedule as WrappedSchedule
from optax import ZeroNansState as ZeroNansState
from optax import ZoomLinesearchInfo as ZoomLinesearchInfo
from optax import adabelief as adabelief
from optax import adadelta as adadelta
from optax import adafactor as adafactor
from optax import adagrad as adagrad
from optax import adam as adam
from optax import adamax as adamax
from optax import adamaxw as adamaxw
from optax import adamw as adamw
from optax import adan as adan
from optax import adaptive_grad_clip as adaptive_grad_clip
from optax import add_decayed_weights as add_decayed_weights
from optax import add_noise as add_noise
from optax import amsgrad as amsgrad
from optax import apply_every as apply_every
from optax import apply_if_finite as apply_if_finite
from optax import apply_updates as apply_updates
from optax import assignment as assignment
from optax import bias_correction as bias_correction
from optax import centralize as centralize
from optax import chain as chain
from optax import clip as clip
from optax import clip_by_block_rms as clip_by_block_rms
from optax import clip_by_global_norm as clip_by_global_norm
from optax import conditionally_mask as conditionally_mask
from optax import conditionally_transform as conditionally_transform
from optax import constant_schedule as constant_schedule
from optax import convex_kl_divergence as convex_kl_divergence
from optax import cosine_decay_schedule as cosine_decay_schedule
from optax import cosine_distance as cosine_distance
from optax import cosine_onecycle_schedule as cosine_onecycle_schedule
from optax import cosine_similarity as cosine_similarity
from optax import ctc_loss as ctc_loss
from optax import ctc_loss_with_forward_probs as ctc_loss_with_forward_probs
from optax import ema as ema
from optax import experimental as experimental
from optax import exponential_decay as exponential_decay
from optax import flatten as flatten
from optax import freeze as freeze
from optax import fromage as fromage
from optax import generalized_kl_divergence as generalized_kl_divergence
from optax import global_norm as global_norm
from optax import hinge_loss as hinge_loss
from optax import huber_loss as huber_loss
from optax import identity as identity
from optax import incremental_update as incremental_update
from optax import init_empty_state as init_empty_state
from optax import inject_hyperparams as inject_hyperparams
from optax import inject_stateful_hyperparams as inject_stateful_hyperparams
from optax import join_schedules as join_schedules
from optax import keep_params_nonnegative as keep_params_nonnegative
from optax import kl_divergence as kl_divergence
from optax import l2_loss as l2_loss
from optax import lamb as lamb
from optax import lars as lars
from optax import lbfgs as lbfgs
from optax import linear_onecycle_schedule as linear_onecycle_schedule
from optax import linear_schedule as linear_schedule
from optax import lion as lion
from optax import log_cosh as log_cosh
from optax import lookahead as lookahead
from optax import losses as losses
from optax import masked as masked
from optax import matrix_inverse_pth_root as matrix_inverse_pth_root
from optax import measure_with_ema as measure_with_ema
from optax import microbatch as microbatch
from optax import microbatching as microbatching
from optax import monitor as monitor
from optax import multi_normal as multi_normal
from optax import multi_transform as multi_transform
from optax import nadam as nadam
from optax import nadamw as nadamw
from optax import named_chain as named_chain
from optax import nnls as nnls
from optax import noisy_sgd as noisy_sgd
from optax import normalize_by_update_norm as normalize_by_update_norm
from optax import novograd as novograd
from optax import ntxent as ntxent
from optax import optimistic_adam as optimistic_adam
from optax import optimistic_adam_v2 as optimistic_adam_v2
from optax import optimistic_gradient_descent as optimistic_gradient_descent
from optax import partition as partition
from optax import per_example_global_norm_clip as per_example_global_norm_clip
from optax import per_example_layer_norm_clip as per_example_layer_norm_clip
from optax import periodic_update as periodic_update
from optax import perturbations as perturbations
from optax import piecewise_constant_schedule as piecewise_constant_schedule
from optax import piecewise_interpolate_schedule as piecewise_interpolate_schedule
from optax import polyak_sgd as polyak_sgd
from optax import polynomial_schedule as polynomial_schedule
from optax import power_iteration as power_iteration
from optax import radam as radam
from optax import rmsprop as rmsprop
from optax import rprop as rprop
from optax import safe_increment as safe_increment
from optax import safe_int32_increment as safe_int32_increment
from optax import safe_norm as safe_norm
from optax import safe_root_mean_squares as safe_root_mean_squares
from optax import safe_softmax_cross_entropy as safe_softmax_cross_entropy
from optax import scale as scale
from optax import scale_by_adadelta as scale_by_adadelta
from optax import scale_by_adam as scale_by_adam
from optax import scale_by_adamax as scale_by_adamax
from optax import scale_by_adan as scale_by_adan
from optax import scale_by_amsgrad as scale_by_amsgrad
from optax import scale_by_backtracking_linesearch as scale_by_backtracking_linesearch
from optax import scale_by_belief as scale_by_belief
from optax import scale_by_distance_over_gradients as scale_by_distance_over_gradients
from optax import scale_by_factored_rms as scale_by_factored_rms
from optax import scale_by_lbfgs as scale_by_lbfgs
from optax import scale_by_learning_rate as scale_by_learning_rate
from optax import scale_by_lion as scale_by_lion
from optax import scale_by_novograd as scale_by_novograd
from optax import scale_by_optimistic_gradient as scale_by_optimistic_gradient
from optax import scale_by_param_block_norm as scale_by_param_block_norm
from optax import scale_by_param_block_rms as scale_by_param_block_rms
from optax import scale_by_polyak as scale_by_polyak
from optax import scale_by_radam as scale_by_radam
from optax import scale_by_rms as scale_by_rms
from optax import scale_by_rprop as scale_by_rprop
from optax import scale_by_rss as scale_by_rss
from optax import scale_by_schedule as scale_by_schedule
from optax import scale_by_sign as scale_by_sign
from optax import scale_by_sm3 as scale_by_sm3
from optax import scale_by_stddev as scale_by_stddev
from optax import scale_by_trust_ratio as scale_by_trust_ratio
from optax import scale_by_yogi as scale_by_yogi
from optax import scale_by_zoom_linesearch as scale_by_zoom_linesearch
from optax import scale_gradient as scale_gradient
from optax import second_order as second_order
from optax import selective_transform as selective_transform
from optax import set_to_zero as set_to_zero
from optax import sgd as sgd
from optax import sgdr_schedule as sgdr_schedule
from optax import sigmoid_binary_cross_entropy as sigmoid_binary_cross_entropy
from optax import sigmoid_focal_loss as sigmoid_focal_loss
from optax import sign_sgd as sign_sgd
from optax import signum as signum
from optax import skip_large_updates as skip_large_updates
from optax import skip_not_finite as skip_not_finite
from optax import sm3 as sm3
from optax import smooth_labels as smooth_labels
from optax import snapshot as snapshot
from optax import softmax_cross_entropy as softmax_cross_entropy
from optax import (
    softmax_cross_entropy_with_integer_labels as softmax_cross_entropy_with_integer_labels,
)
from optax import squared_error as squared_error
from optax import stateless as stateless
from optax import stateless_with_tree_map as stateless_with_tree_map
from optax import trace as trace
from optax import tree as tree
from optax import tree_map_params as tree_map_params
from optax import tree_utils as tree_utils
from optax import update_infinity_moment as update_infinity_moment
from optax import update_moment as update_moment
from optax import update_moment_per_elem_norm as update_moment_per_elem_norm
from optax import value_and_grad_from_state as value_and_grad_from_state
from optax import warmup_constant_schedule as warmup_constant_schedule
from optax import warmup_cosine_decay_schedule as warmup_cosine_decay_schedule
from optax import warmup_exponential_decay_schedule as warmup_exponential_decay_schedule
from optax import with_extra_args_support as with_extra_args_support
from optax import yogi as yogi
from optax import zero_nans as zero_nans

_SUBMODULES = (
    "assignment",
    "experimental",
    "losses",
    "microbatching",
    "perturbations",
    "second_order",
    "tree",
    "tree_utils",
)
"""Public submodules of optax for which gradlab has no room of its own."""


def _alias_submodules(package: str) -> None:
    """Makes `import gradlab.tree` and `from gradlab.tree import …` work."""
    for name in _SUBMODULES:
        module = _importlib.import_module(f"optax.{name}")
        _sys.modules.setdefault(f"{package}.{name}", module)


def _late_attribute(name: str) -> _Any:
    """An attribute that optax resolves on access.

    Raises:
      AttributeError: optax has none of this name either.
    """
    try:
        return getattr(_optax, name)
    except AttributeError:
        raise AttributeError(f"module 'gradlab' has no attribute {name!r}") from None
