"""(tree, set) → the nearest tree in the set: optax's projections, and more of them."""

from optax.projections import projection_box as projection_box
from optax.projections import projection_halfspace as projection_halfspace
from optax.projections import projection_hypercube as projection_hypercube
from optax.projections import projection_hyperplane as projection_hyperplane
from optax.projections import projection_l1_ball as projection_l1_ball
from optax.projections import projection_l1_sphere as projection_l1_sphere
from optax.projections import projection_l2_ball as projection_l2_ball
from optax.projections import projection_l2_sphere as projection_l2_sphere
from optax.projections import projection_linf_ball as projection_linf_ball
from optax.projections import projection_non_negative as projection_non_negative
from optax.projections import projection_simplex as projection_simplex
from optax.projections import projection_vector as projection_vector

from gradlab.projections._kl_projection_simplex import (
    kl_projection_simplex as kl_projection_simplex,
)
from gradlab.projections._projection_affine_set import (
    projection_affine_set as projection_affine_set,
)
from gradlab.projections._projection_box_section import (
    projection_box_section as projection_box_section,
)
from gradlab.projections._projection_polyhedron import (
    projection_polyhedron as projection_polyhedron,
)
from gradlab.projections._projection_psd_cone import projection_psd_cone as projection_psd_cone
from gradlab.projections._projection_second_order_cone import (
    projection_second_order_cone as projection_second_order_cone,
)
