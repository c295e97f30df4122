"""Array → array: matrix functions without trees and without state."""

from gradlab.linalg._balance import balance as balance
from gradlab.linalg._balance import balance_residual as balance_residual
from gradlab.linalg._homogeneous import homogeneous_minimum as homogeneous_minimum
from gradlab.linalg._implicit import implicit_root as implicit_root
from gradlab.linalg._newton_schulz import PRECONDITIONINGS as PRECONDITIONINGS
from gradlab.linalg._newton_schulz import is_row as is_row
from gradlab.linalg._newton_schulz import newton_schulz as newton_schulz
from gradlab.linalg._psd import psd_eigenvalues as psd_eigenvalues
from gradlab.linalg._psd import psd_inverse as psd_inverse
from gradlab.linalg._qp import nonnegative_minimum as nonnegative_minimum
from gradlab.linalg._qp import nonnegative_qp as nonnegative_qp
from gradlab.linalg._qp import qp_residual as qp_residual
from gradlab.linalg._qp import qp_tolerance as qp_tolerance
from gradlab.linalg._ranking import largest as largest
from gradlab.linalg._ranking import portion as portion
from gradlab.linalg._ranking import upper_quantile as upper_quantile
from gradlab.linalg._rounding import join as join
from gradlab.linalg._rounding import round_stochastically as round_stochastically
from gradlab.linalg._rounding import round_to_nearest as round_to_nearest
from gradlab.linalg._rounding import split as split
from gradlab.linalg._simplex import onto_simplex as onto_simplex
from gradlab.linalg._units import unit_norm as unit_norm
