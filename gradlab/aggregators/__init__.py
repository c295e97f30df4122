"""Many gradients → one: gradient surgery. The first link of a chain."""

from gradlab.aggregators._agem import agem as agem
from gradlab.aggregators._aligned_mtl import aligned_mtl as aligned_mtl
from gradlab.aggregators._alternating_tasks import alternating_tasks as alternating_tasks
from gradlab.aggregators._bloop import bloop as bloop
from gradlab.aggregators._cagrad import cagrad as cagrad
from gradlab.aggregators._config import config as config
from gradlab.aggregators._constant_weights import constant_weights as constant_weights
from gradlab.aggregators._coordinate_median import coordinate_median as coordinate_median
from gradlab.aggregators._crmogm import crmogm as crmogm
from gradlab.aggregators._dualproj import dualproj as dualproj
from gradlab.aggregators._excess_mtl import excess_mtl as excess_mtl
from gradlab.aggregators._fairgrad import fairgrad as fairgrad
from gradlab.aggregators._geometric_median import geometric_median as geometric_median
from gradlab.aggregators._graddrop import graddrop as graddrop
from gradlab.aggregators._gradient_harmonization import (
    gradient_harmonization as gradient_harmonization,
)
from gradlab.aggregators._gradnorm import gradnorm as gradnorm
from gradlab.aggregators._gradvac import gradvac as gradvac
from gradlab.aggregators._imtl_g import imtl_g as imtl_g
from gradlab.aggregators._krum import krum as krum
from gradlab.aggregators._mean_gradient import mean_gradient as mean_gradient
from gradlab.aggregators._mgda import mgda as mgda
from gradlab.aggregators._modo import modo as modo
from gradlab.aggregators._nash_mtl import nash_mtl as nash_mtl
from gradlab.aggregators._objectives import value_and_gradient as value_and_gradient
from gradlab.aggregators._objectives import value_and_gramian as value_and_gramian
from gradlab.aggregators._objectives import value_and_jacobian as value_and_jacobian
from gradlab.aggregators._objectives import weights_from_gramian as weights_from_gramian
from gradlab.aggregators._orthogonal_backward import orthogonal_backward as orthogonal_backward
from gradlab.aggregators._pcd import pcd as pcd
from gradlab.aggregators._pcgrad import pcgrad as pcgrad
from gradlab.aggregators._per_class_normalized_mean import (
    per_class_normalized_mean as per_class_normalized_mean,
)
from gradlab.aggregators._plwf_credit_assignment import (
    plwf_credit_assignment as plwf_credit_assignment,
)
from gradlab.aggregators._random_weights import random_weights as random_weights
from gradlab.aggregators._rotograd import rotograd as rotograd
from gradlab.aggregators._sdmgrad import sdmgrad as sdmgrad
from gradlab.aggregators._sum_gradient import sum_gradient as sum_gradient
from gradlab.aggregators._trimmed_mean import trimmed_mean as trimmed_mean
from gradlab.aggregators._uncertainty_weighting import (
    uncertainty_weighting as uncertainty_weighting,
)
from gradlab.aggregators._upgrad import upgrad as upgrad
from gradlab.aggregators._winsorized_mean import winsorized_mean as winsorized_mean
