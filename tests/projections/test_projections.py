"""Projections: optax's are all there, and ours are nearest points with exact derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradlab as gl

DRAW = np.random.default_rng(1)


@pytest.fixture(autouse=True)
def x64():
    with jax.enable_x64(True):
        yield


def test_the_room_contains_all_of_optaxs():
    theirs = {name: f for name, f in vars(optax.projections).items() if name[0] != "_"}
    assert len(theirs) >= 12
    assert all(vars(gl.projections)[name] is f for name, f in theirs.items())


def test_a_section_of_the_unit_box_is_the_simplex():
    for n in (2, 40):
        x = jnp.asarray(DRAW.normal(size=n))

        def section(x, n=n):
            return gl.projections.projection_box_section(x, 0.0, 1.0, np.ones(n), 1.0)

        simplex = gl.projections.projection_simplex
        np.testing.assert_allclose(section(x), simplex(x), atol=1e-14)
        if n < 10:
            slopes = jax.jacrev(section)(x), jax.jacrev(simplex)(x)
            np.testing.assert_allclose(*slopes, atol=1e-14)


def test_a_section_reaches_its_ends():
    lower, upper, w = np.array([-1.0, 0.0]), np.array([1.0, 2.0]), np.array([1.0, 3.0])
    x = jnp.array([0.3, 0.4])
    for c, wanted in ((w @ lower, lower), (w @ upper, upper)):
        found = gl.projections.projection_box_section(x, lower, upper, w, c)
        np.testing.assert_allclose(found, wanted, atol=1e-14)


def test_the_simplex_is_a_polyhedron():
    x = jnp.asarray(DRAW.normal(size=6) * 2)
    eye, ones = np.eye(6), np.ones(6)

    def simplex(x):
        return gl.projections.projection_polyhedron(x, ones[None], np.ones(1), -eye, np.zeros(6))

    theirs = gl.projections.projection_simplex
    np.testing.assert_allclose(simplex(x), theirs(x), atol=1e-12)
    np.testing.assert_allclose(jax.jacrev(simplex)(x), jax.jacrev(theirs)(x), atol=1e-10)


def test_an_affine_set_is_projected_on_as_by_the_pseudoinverse():
    a, b, x = DRAW.normal(size=(3, 6)), DRAW.normal(size=3), DRAW.normal(size=6)
    wanted = x - np.linalg.pinv(a) @ (a @ x - b)
    found = gl.projections.projection_affine_set(x, a, b)
    np.testing.assert_allclose(found, wanted, atol=1e-12)


@pytest.mark.parametrize("name", ["second_order_cone", "psd_cone"])
def test_a_point_is_the_difference_of_its_parts_in_the_cone(name):
    project = getattr(gl.projections, f"projection_{name}")
    x = DRAW.normal(size=(5, 3, 3))
    x = x + np.swapaxes(x, -1, -2)
    inside, outside = project(x), project(-x)
    np.testing.assert_allclose(inside - outside, x, atol=1e-12)
    np.testing.assert_allclose(project(inside), inside, atol=1e-12)


def test_eigenvalues_may_be_equal():
    x, d = np.diag([1.0, 1.0, -1.0]), DRAW.normal(size=(3, 3))
    project, h = gl.projections.projection_psd_cone, 1e-6
    wanted = (project(x + h * d) - project(x - h * d)) / (2 * h)
    found = jax.jvp(project, (jnp.asarray(x),), (jnp.asarray(d),))[1]
    np.testing.assert_allclose(found, wanted, atol=1e-8)
    skew = np.array([[0.0, 1.0], [-1.0, 0.0]])
    np.testing.assert_allclose(project(np.eye(2) + skew), np.eye(2), atol=1e-14)
    hermitian = np.array([[0.0, -1j], [1j, 0.0]])
    np.testing.assert_allclose(project(hermitian), [[0.5, -0.5j], [0.5j, 0.5]], atol=1e-14)


def test_relative_entropy_divides_by_the_sum():
    tree = {"a": jnp.array([1.0, 2.0]), "b": jnp.array(1.0)}
    found = gl.projections.kl_projection_simplex(tree, 2.0)
    np.testing.assert_allclose(found["a"], [0.5, 1.0])
    np.testing.assert_allclose(found["b"], 0.5)
    zeros = jax.tree.map(jnp.zeros_like, tree)
    slopes = jax.jacrev(gl.projections.kl_projection_simplex)(zeros)
    assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves(slopes))


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda p: p.projection_affine_set(np.ones((2, 2)), np.ones((1, 2)), np.ones(1)), "vector"),
        (lambda p: p.projection_affine_set(np.ones(3), np.ones((1, 2)), np.ones(1)), r"a has sh"),
        (lambda p: p.projection_affine_set(np.ones(3), np.ones((1, 3)), np.ones(2)), r"b has sh"),
        (lambda p: p.projection_affine_set(np.ones(1), np.ones((2, 1)), np.ones(2)), "2 rows"),
        (
            lambda p: p.projection_box_section(np.ones(2), 0.0, 1.0, np.ones(2), 3.0),
            r"c=3.0 in \[0.0, 2.0\]",
        ),
        (
            lambda p: p.projection_box_section(np.ones(2), 0.0, 1.0, -np.ones(2), 1.0),
            "w has to be positive",
        ),
        (
            lambda p: p.projection_polyhedron(np.ones(2), None, np.ones(1), np.eye(2), np.ones(2)),
            "one is None",
        ),
        (
            lambda p: p.projection_polyhedron(np.ones(2), None, None, np.eye(2), np.ones(3)),
            "h has shape",
        ),
        (lambda p: p.projection_psd_cone({"w": np.ones((2, 3))}), r"\['w'\].*square"),
        (lambda p: p.kl_projection_simplex(np.ones(2), 0.0), r"scale=0.0 is outside \(0, inf"),
    ],
)
def test_bad_input_is_refused(call, told):
    with pytest.raises(ValueError, match=told):
        call(gl.projections)
