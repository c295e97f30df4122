"""Training run → hypergradient: derivatives through and around an inner optimization."""

from gradlab.meta._products import gauss_newton_vector_product as gauss_newton_vector_product
from gradlab.meta._products import hessian_vector_product as hessian_vector_product
