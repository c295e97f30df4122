"""Optimizer → optimizer: what changes where or when an inner optimizer steps."""

from gradlab.wrappers._average_iterates import average_iterates as average_iterates
from gradlab.wrappers._partition import partition as partition
from gradlab.wrappers._sam import sam as sam
