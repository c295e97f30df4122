"""From a problem and a starting point to a solution, with its derivatives.

A solver is data, like an optimizer: `run(fn, init, *args)` goes on until its error is small, and
what it finds has the derivatives of the solution by everything that the problem depends on.
"""

from gradlab.solvers._minimize import minimize as minimize
from gradlab.solvers._solver import Solution as Solution
from gradlab.solvers._solver import Solver as Solver
