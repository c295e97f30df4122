"""Optimizer → optimizer: what changes where or when an inner optimizer steps."""

from gradlab.wrappers._accumulate_gradients import accumulate_gradients as accumulate_gradients
from gradlab.wrappers._apply_if_finite import apply_if_finite as apply_if_finite
from gradlab.wrappers._average_iterates import average_iterates as average_iterates
from gradlab.wrappers._partition import partition as partition
from gradlab.wrappers._sam import sam as sam
