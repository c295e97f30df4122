"""Gradient → gradient, and everything else that optax.transforms has."""

from optax.transforms import *
from optax.transforms import ConditionFn as ConditionFn
from optax.transforms import MaskedNode as MaskedNode
from optax.transforms import per_example_global_norm_clip as per_example_global_norm_clip
from optax.transforms import per_example_layer_norm_clip as per_example_layer_norm_clip
from optax.transforms import unitwise_clip as unitwise_clip
from optax.transforms import unitwise_norm as unitwise_norm
