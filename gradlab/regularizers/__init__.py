"""Params → penalty: what is added to the loss, as data.

A regularizer is a callable pytree whose leaves are its hyperparameters:
`loss(params) + gl.norm_loss(0.01)(params)`.
"""

from gradlab.regularizers._hessian_alignment import hessian_alignment as hessian_alignment
from gradlab.regularizers._norm_loss import norm_loss as norm_loss
from gradlab.regularizers._spectral_decoupling import spectral_decoupling as spectral_decoupling
from gradlab.regularizers._spectral_regularization import (
    spectral_regularization as spectral_regularization,
)
from gradlab.regularizers._vanishing_gradient_penalty import (
    vanishing_gradient_penalty as vanishing_gradient_penalty,
)
from gradlab.regularizers._wasserstein_to_init import wasserstein_to_init as wasserstein_to_init
from gradlab.regularizers._weight_conditioning import weight_conditioning as weight_conditioning
