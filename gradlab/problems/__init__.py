"""Training problems on real data, and two-dimensional landscapes with known answers.

>>> from gradlab import problems
>>> problems.names()
('char_transformer', 'digits_logistic', 'digits_mlp', 'modular_addition')
>>> problems.rosenbrock().minimisers
((1.0, 1.0),)
"""

from gradlab.problems._char_transformer import char_transformer as char_transformer
from gradlab.problems._digits import digits as digits
from gradlab.problems._digits_logistic import digits_logistic as digits_logistic
from gradlab.problems._digits_mlp import digits_mlp as digits_mlp
from gradlab.problems._landscapes import Landscape as Landscape
from gradlab.problems._landscapes import beale as beale
from gradlab.problems._landscapes import himmelblau as himmelblau
from gradlab.problems._landscapes import ill_conditioned as ill_conditioned
from gradlab.problems._landscapes import landscape as landscape
from gradlab.problems._landscapes import landscape_names as landscape_names
from gradlab.problems._landscapes import rosenbrock as rosenbrock
from gradlab.problems._modular_addition import modular_addition as modular_addition
from gradlab.problems._problem import Problem as Problem
from gradlab.problems._registry import get as get
from gradlab.problems._registry import names as names
