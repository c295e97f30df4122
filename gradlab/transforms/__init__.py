"""Gradient → gradient, and everything else that optax.transforms has."""

from optax.transforms import *
from optax.transforms import ConditionFn as ConditionFn
from optax.transforms import MaskedNode as MaskedNode
from optax.transforms import per_example_global_norm_clip as per_example_global_norm_clip
from optax.transforms import per_example_layer_norm_clip as per_example_layer_norm_clip
from optax.transforms import unitwise_clip as unitwise_clip
from optax.transforms import unitwise_norm as unitwise_norm

from gradlab.core import chain as chain
from gradlab.core import named_chain as named_chain
from gradlab.transforms._a_law_compress import a_law_compress as a_law_compress
from gradlab.transforms._adaptive_grad_clip import adaptive_grad_clip as adaptive_grad_clip
from gradlab.transforms._add_noise import add_noise as add_noise
from gradlab.transforms._backtracking_linesearch import (
    scale_by_backtracking_linesearch as scale_by_backtracking_linesearch,
)
from gradlab.transforms._cautious_weight_decay import cautious_weight_decay as cautious_weight_decay
from gradlab.transforms._centralize import centralize as centralize
from gradlab.transforms._clip import clip as clip
from gradlab.transforms._clip_by_block_rms import clip_by_block_rms as clip_by_block_rms
from gradlab.transforms._clip_by_global_norm import clip_by_global_norm as clip_by_global_norm
from gradlab.transforms._clip_largest_coordinates import (
    clip_largest_coordinates as clip_largest_coordinates,
)
from gradlab.transforms._gradient_annealing import gradient_annealing as gradient_annealing
from gradlab.transforms._grokfast_ema import grokfast_ema as grokfast_ema
from gradlab.transforms._grokfast_ma import grokfast_ma as grokfast_ma
from gradlab.transforms._hager_zhang_linesearch import (
    scale_by_hager_zhang_linesearch as scale_by_hager_zhang_linesearch,
)
from gradlab.transforms._hebbian_orthogonal_projection import (
    hebbian_orthogonal_projection as hebbian_orthogonal_projection,
)
from gradlab.transforms._keep_largest_gradients import (
    keep_largest_gradients as keep_largest_gradients,
)
from gradlab.transforms._mu_law_compress import mu_law_compress as mu_law_compress
from gradlab.transforms._orthogonal_to_params import orthogonal_to_params as orthogonal_to_params
from gradlab.transforms._progressive_gradient_flow import (
    progressive_gradient_flow as progressive_gradient_flow,
)
from gradlab.transforms._project_update import project_update as project_update
from gradlab.transforms._running_median_gradient import (
    running_median_gradient as running_median_gradient,
)
from gradlab.transforms._sobolev_gradient import sobolev_gradient as sobolev_gradient
from gradlab.transforms._softsign_compress import softsign_compress as softsign_compress
from gradlab.transforms._sparse_update_mask import sparse_update_mask as sparse_update_mask
from gradlab.transforms._tract import tract as tract
from gradlab.transforms._zero_nans import zero_nans as zero_nans
from gradlab.transforms._zoom_linesearch import scale_by_zoom_linesearch as scale_by_zoom_linesearch
