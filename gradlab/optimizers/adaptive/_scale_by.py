"""The directions of this family alone, before weight decay and learning rate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gradlab import core
from gradlab.core import DType, Scalar, ScalarOrSchedule
from gradlab.optimizers.adaptive._adabelief import ScaleByBelief
from gradlab.optimizers.adaptive._adagrad import ScaleByRss
from gradlab.optimizers.adaptive._adam import ScaleByAdam
from gradlab.optimizers.adaptive._adamax import ScaleByAdamax
from gradlab.optimizers.adaptive._ademamix import ScaleByAdemamix
from gradlab.optimizers.adaptive._adopt import ScaleByAdopt, fourth_root
from gradlab.optimizers.adaptive._amsgrad import ScaleByAmsgrad
from gradlab.optimizers.adaptive._laprop import ScaleByLaprop
from gradlab.optimizers.adaptive._radam import ScaleByRadam
from gradlab.optimizers.adaptive._rms import ScaleByRms, ScaleByStddev


@core.builds(ScaleByBelief)
def scale_by_belief(
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-16,
    eps_root: Scalar = 1e-16,
    *,
    nesterov: bool = False,
):
    """The direction of AdaBelief alone, without learning rate; arguments as in `adabelief`."""


@core.builds(ScaleByRss)
def scale_by_rss(initial_accumulator_value: Scalar = 0.1, eps: Scalar = 1e-7):
    """The direction of AdaGrad alone, without learning rate; arguments as in `adagrad`."""


@core.builds(ScaleByAdam)
def scale_by_adam(
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-8,
    eps_root: Scalar = 0.0,
    mu_dtype: DType | None = None,
    *,
    nesterov: bool = False,
):
    """The direction of Adam alone, without learning rate; arguments as in `adam`."""


@core.builds(ScaleByAdamax)
def scale_by_adamax(b1: Scalar = 0.9, b2: Scalar = 0.999, eps: Scalar = 1e-8):
    """The direction of AdaMax alone, without learning rate; arguments as in `adamax`."""


@core.builds(ScaleByAdemamix)
def scale_by_ademamix(
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    b3: ScalarOrSchedule = 0.9999,
    alpha: ScalarOrSchedule = 6.0,
    eps: Scalar = 1e-8,
    eps_root: Scalar = 0.0,
    mu_dtype: DType | None = None,
):
    """The direction of AdEMAMix alone, without learning rate; arguments as in `ademamix`."""


@core.builds(ScaleByAdopt)
def scale_by_adopt(
    b1: Scalar = 0.9,
    b2: Scalar = 0.9999,
    eps: Scalar = 1e-6,
    mu_dtype: DType | None = None,
    *,
    nesterov: bool = False,
    use_clipping: bool = True,
    clip_value_fn: Callable[[Any], Any] = fourth_root,
):
    """The direction of ADOPT alone, without learning rate; arguments as in `adopt`."""


@core.builds(ScaleByAmsgrad)
def scale_by_amsgrad(
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-8,
    eps_root: Scalar = 0.0,
    mu_dtype: DType | None = None,
    bias_correction_mu: bool = True,
    bias_correction_nu: bool = True,
):
    """The direction of AMSGrad alone, without learning rate; arguments as in `amsgrad`."""


@core.builds(ScaleByLaprop)
def scale_by_laprop(
    b1: Scalar = 0.9, b2: Scalar = 0.999, eps: Scalar = 1e-15, mu_dtype: DType | None = None
):
    """The direction of LaProp alone, without learning rate; arguments as in `laprop`."""


@core.builds(ScaleByRadam)
def scale_by_radam(
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-8,
    eps_root: Scalar = 0.0,
    threshold: Scalar = 5.0,
    *,
    nesterov: bool = False,
):
    """The direction of RAdam alone, without learning rate; arguments as in `radam`."""


@core.builds(ScaleByRms)
def scale_by_rms(
    decay: Scalar = 0.9,
    eps: Scalar = 1e-8,
    initial_scale: Scalar = 0.0,
    eps_in_sqrt: bool = True,
    bias_correction: bool = False,
):
    """The direction of RMSProp alone, without learning rate; arguments as in `rmsprop`."""


@core.builds(ScaleByStddev)
def scale_by_stddev(
    decay: Scalar = 0.9,
    eps: Scalar = 1e-8,
    initial_scale: Scalar = 0.0,
    eps_in_sqrt: bool = True,
    bias_correction: bool = False,
):
    """The direction of centred RMSProp, without learning rate; arguments as in `rmsprop`."""
