"""Optimizer → optimizer: what changes where or when an inner optimizer steps."""

from gradlab.wrappers._kahan_summation import kahan_summation as kahan_summation
from gradlab.wrappers._master_weights import master_weights as master_weights
from gradlab.wrappers._sam import sam as sam
from gradlab.wrappers._stochastic_rounding import stochastic_rounding as stochastic_rounding
from gradlab.wrappers._weight_splitting import weight_splitting as weight_splitting
