"""Rules whose update has one size for every coordinate."""

from gradlab.optimizers.sign._lion import lion as lion
from gradlab.optimizers.sign._lion import scale_by_lion as scale_by_lion
