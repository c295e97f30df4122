"""Array → array: matrix functions without trees and without state."""

from gradlab.linalg._masks import largest_of_units as largest_of_units
from gradlab.linalg._masks import largest_together as largest_together
from gradlab.linalg._masks import n_of_m as n_of_m
from gradlab.linalg._codecs import CODECS as CODECS
from gradlab.linalg._codecs import Codec as Codec
from gradlab.linalg._codecs import codec_named as codec_named
from gradlab.linalg._codecs import decode as decode
from gradlab.linalg._codecs import dynamic_map as dynamic_map
from gradlab.linalg._codecs import encode as encode
from gradlab.linalg._newton_schulz import PRECONDITIONINGS as PRECONDITIONINGS
from gradlab.linalg._newton_schulz import is_row as is_row
from gradlab.linalg._newton_schulz import newton_schulz as newton_schulz
from gradlab.linalg._power_iteration import power_start as power_start
from gradlab.linalg._power_iteration import spectral_norm as spectral_norm
from gradlab.linalg._qp import nonnegative_qp as nonnegative_qp
from gradlab.linalg._qp import qp_residual as qp_residual
from gradlab.linalg._ranking import largest as largest
from gradlab.linalg._ranking import portion as portion
from gradlab.linalg._ranking import upper_quantile as upper_quantile
from gradlab.linalg._rounding import join as join
from gradlab.linalg._rounding import round_stochastically as round_stochastically
from gradlab.linalg._rounding import round_to_nearest as round_to_nearest
from gradlab.linalg._rounding import split as split
from gradlab.linalg._units import unit_norm as unit_norm
