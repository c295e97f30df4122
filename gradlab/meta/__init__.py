"""From a training run to its hypergradient.

Everything that an optimizer holds as data can be differentiated: these functions run training,
or use what is known of its end, and say how the result changes with the hyperparameters, the
initial parameters and the data.
"""

from gradlab.meta import bilevel as bilevel
from gradlab.meta import graph as graph
from gradlab.meta import learned as learned
from gradlab.meta._custom_fixed_point import custom_fixed_point as custom_fixed_point
from gradlab.meta._custom_root import custom_root as custom_root
from gradlab.meta._evolution import Estimate as Estimate
from gradlab.meta._evolution import InnerProblem as InnerProblem
from gradlab.meta._evolution import TrainingProblem as TrainingProblem
from gradlab.meta._evolution import TrainingState as TrainingState
from gradlab.meta._evolution_strategies import evolution_strategies as evolution_strategies
from gradlab.meta._forward_value_and_grad import forward_value_and_grad as forward_value_and_grad
from gradlab.meta._implicit_hypergradient import Hypergradient as Hypergradient
from gradlab.meta._implicit_hypergradient import ImplicitReport as ImplicitReport
from gradlab.meta._implicit_hypergradient import implicit_hypergradient as implicit_hypergradient
from gradlab.meta._jacobian_spectrum import JacobianSpectrum as JacobianSpectrum
from gradlab.meta._jacobian_spectrum import jacobian_spectrum as jacobian_spectrum
from gradlab.meta._linear import linear_solver as linear_solver
from gradlab.meta._low_variance_truncation import low_variance_truncation as low_variance_truncation
from gradlab.meta._mixed_horizons import MixedHorizons as MixedHorizons
from gradlab.meta._mixed_horizons import mixed_horizons as mixed_horizons
from gradlab.meta._online_coordinates import Coordinate as Coordinate
from gradlab.meta._online_hypergradient import OnlineHypergradient as OnlineHypergradient
from gradlab.meta._online_hypergradient import OnlineReport as OnlineReport
from gradlab.meta._online_hypergradient import OnlineState as OnlineState
from gradlab.meta._online_hypergradient import online_hypergradient as online_hypergradient
from gradlab.meta._optimality import KKTPoint as KKTPoint
from gradlab.meta._optimality import kkt_conditions as kkt_conditions
from gradlab.meta._optimality import mirror_descent as mirror_descent
from gradlab.meta._optimality import projected_gradient as projected_gradient
from gradlab.meta._optimality import proximal_gradient as proximal_gradient
from gradlab.meta._optimality import stationary_point as stationary_point
from gradlab.meta._persistent_evolution_strategies import (
    persistent_evolution_strategies as persistent_evolution_strategies,
)
from gradlab.meta._products import gauss_newton_vector_product as gauss_newton_vector_product
from gradlab.meta._products import hessian_vector_product as hessian_vector_product
from gradlab.meta._unroll import Unrolled as Unrolled
from gradlab.meta._unroll import unroll as unroll
from gradlab.meta.bilevel import Batches as Batches
from gradlab.meta.bilevel import BilevelMethod as BilevelMethod
from gradlab.meta.bilevel import BilevelProblem as BilevelProblem
from gradlab.meta.bilevel import PerStep as PerStep
from gradlab.meta.bilevel import best_response_hypernetwork as best_response_hypernetwork
from gradlab.meta.bilevel import bo_rep as bo_rep
from gradlab.meta.bilevel import bsvrb as bsvrb
from gradlab.meta.bilevel import bsvrb_matrices as bsvrb_matrices
from gradlab.meta.bilevel import cold_start as cold_start
from gradlab.meta.bilevel import f2sa as f2sa
from gradlab.meta.bilevel import lv_hba as lv_hba
from gradlab.meta.bilevel import penalty_bilevel as penalty_bilevel
from gradlab.meta.bilevel import sl_bamm as sl_bamm
from gradlab.meta.bilevel import warm_start as warm_start
from gradlab.meta.graph import GraphReport as GraphReport
from gradlab.meta.graph import GraphState as GraphState
from gradlab.meta.graph import LevelGradient as LevelGradient
from gradlab.meta.graph import Problem as Problem
from gradlab.meta.graph import ProblemGraph as ProblemGraph
from gradlab.meta.graph import bilevel_graph as bilevel_graph
from gradlab.meta.graph import finite_difference_response as finite_difference_response
from gradlab.meta.graph import problem_graph as problem_graph
from gradlab.meta.graph import unrolled_response as unrolled_response
from gradlab.meta.learned import learned_mlp as learned_mlp
from gradlab.meta.learned import learned_rnn as learned_rnn
from gradlab.meta.learned import load_learned as load_learned
from gradlab.meta.learned import mlp_weights as mlp_weights
from gradlab.meta.learned import rnn_weights as rnn_weights
from gradlab.meta.learned import save_learned as save_learned
