"""From a problem and a starting point to a solution, with its derivatives.

A solver is data, like an optimizer: `run(fn, init, *args)` goes on until its error is small, and
what it finds has the derivatives of the solution by everything that the problem depends on.
"""

from gradlab.solvers._anderson_acceleration import anderson_acceleration as anderson_acceleration
from gradlab.solvers._bisection import Bracket as Bracket
from gradlab.solvers._bisection import bisection as bisection
from gradlab.solvers._block_coordinate_descent import (
    block_coordinate_descent as block_coordinate_descent,
)
from gradlab.solvers._fixed_point_iteration import fixed_point_iteration as fixed_point_iteration
from gradlab.solvers._gradient_descent import gradient_descent as gradient_descent
from gradlab.solvers._minimize import minimize as minimize
from gradlab.solvers._solver import Solution as Solution
from gradlab.solvers._solver import Solver as Solver
