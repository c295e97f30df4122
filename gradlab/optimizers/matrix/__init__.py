"""Rules that act on whole matrices."""

from gradlab.optimizers.matrix._muon import muon as muon
from gradlab.optimizers.matrix._muon import scale_by_muon as scale_by_muon
