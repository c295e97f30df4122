"""gradlab."""
from gradlab.core import *
from gradlab.optimizers.adaptive import *
