"""Gradients of training: from a training run to a hypergradient."""

from gradlab.meta._online_hypergradient import OnlineHypergradient as OnlineHypergradient
from gradlab.meta._online_hypergradient import OnlineReport as OnlineReport
from gradlab.meta._online_hypergradient import OnlineState as OnlineState
from gradlab.meta._online_hypergradient import online_hypergradient as online_hypergradient
