"""Problems of more than two levels, as a graph of who is judged by whom."""

from gradlab.meta.graph._bilevel_graph import bilevel_graph as bilevel_graph
from gradlab.meta.graph._graph import GraphReport as GraphReport
from gradlab.meta.graph._graph import GraphState as GraphState
from gradlab.meta.graph._graph import LevelGradient as LevelGradient
from gradlab.meta.graph._graph import ProblemGraph as ProblemGraph
from gradlab.meta.graph._problem import Problem as Problem
from gradlab.meta.graph._problem_graph import problem_graph as problem_graph
from gradlab.meta.graph._responses import finite_difference_response as finite_difference_response
from gradlab.meta.graph._responses import unrolled_response as unrolled_response
