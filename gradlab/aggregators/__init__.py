"""Many gradients → one: gradient surgery. The first link of a chain."""

from gradlab.aggregators._pcgrad import pcgrad as pcgrad
from gradlab.aggregators._upgrad import upgrad as upgrad
