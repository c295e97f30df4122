"""Variants that are no entries of their own keep the contract, too."""

import pytest

import gradlab as gl

VARIANTS = {
    "plain": (gl.proximal_gradient(0.01, strength=0.1), {}),
    "a pair": (gl.proximal_gradient(0.01, gl.prox.prox_elastic_net, (0.1, 0.3)), {}),
    "entropy": (gl.mirror_descent(0.01), {"complex": False, "smooth": True, "kinks": ""}),
}
PROMISES = [
    "it is an optax transformation",
    "it is data",
    "dtypes are stable",
    "the first step can donate",
    "state is plain and resumes",
    "odd trees work",
    "complex numbers",
    "elementwise",
    "smooth",
    "hypergradients are finite at zero",
    "a step stores nothing of parameter size",
]


@pytest.mark.parametrize("name", VARIANTS)
def test_variants_keep_the_contract(name):
    opt, traits = VARIANTS[name]
    promised = gl.core.Traits(**{"smooth": False, "kinks": "thresholds", **traits})
    gl.testing.check_transformation(opt, traits=promised, promises=PROMISES)
