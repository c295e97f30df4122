"""Gradients of training runs: hypergradients, bilevel problems, learned optimizers.

What is differentiated is an optimizer, which is data, or any other tree that a run depends on.
"""

from gradlab.meta._evolution import Estimate as Estimate
from gradlab.meta._evolution import InnerProblem as InnerProblem
from gradlab.meta._evolution import TrainingProblem as TrainingProblem
from gradlab.meta._evolution import TrainingState as TrainingState
from gradlab.meta._evolution_strategies import evolution_strategies as evolution_strategies
from gradlab.meta._jacobian_spectrum import JacobianSpectrum as JacobianSpectrum
from gradlab.meta._jacobian_spectrum import jacobian_spectrum as jacobian_spectrum
from gradlab.meta._persistent_evolution_strategies import (
    persistent_evolution_strategies as persistent_evolution_strategies,
)
from gradlab.meta.learned import learned_mlp as learned_mlp
from gradlab.meta.learned import learned_rnn as learned_rnn
from gradlab.meta.learned import load_learned as load_learned
from gradlab.meta.learned import mlp_weights as mlp_weights
from gradlab.meta.learned import rnn_weights as rnn_weights
from gradlab.meta.learned import save_learned as save_learned
