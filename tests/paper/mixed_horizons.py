"""Mixed meta-gradients."""

from __future__ import annotations

from tests.paper.unroll import unroll


def mixed_horizons(targets, x, curvature, outer_targets, *, horizons, weights, **hyperparameters):
    """Bonnet et al. 2021, arXiv:2111.00206: a weighted sum over numbers of inner steps."""
    terms = zip(horizons, weights, outer_targets, strict=True)
    return sum(
        weight * unroll(targets[:horizon], x, curvature, outer, **hyperparameters)[0]
        for horizon, weight, outer in terms
    )
