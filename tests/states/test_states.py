"""States of every past release are still good."""

from pathlib import Path

import jax
import numpy as np
import pytest

import gradlab as gl
from gradlab import catalog, testing
from gradlab.testing._subject import problem_params
from tests.states.make import as_dicts, flattened

RELEASES = {path.stem: path for path in sorted(Path(__file__).parent.glob("*.npz"))}


def states(release):
    """Nested dicts of arrays, by entry."""
    found = {}
    with np.load(RELEASES[release]) as stored:
        for name in stored.files:
            *folders, last = name.split("/")
            place = found
            for folder in folders:
                place = place.setdefault(folder, {})
            place[last] = stored[name]
    return found


def test_the_first_release_is_kept():
    assert "0.1.0" in RELEASES


@pytest.mark.parametrize("release", RELEASES)
def test_every_state_of_the_release_is_carried_over_array_by_array(release):
    params = problem_params()
    kept = states(release)
    assert len(kept) > 20
    for name, old in kept.items():
        state = gl.migrate_state(catalog.get(name).make(), params, old)
        new = flattened(as_dicts(state))
        for path, value in flattened(old).items():
            np.testing.assert_array_equal(new.pop(path), value, err_msg=f"{name}: {path}")
        assert not new, f"{name}: {sorted(new)} did not come from the old state"


@pytest.mark.parametrize("release", RELEASES)
def test_a_run_of_the_release_continues(release):
    params = problem_params()
    for name in ("adamw", "muon", "sam"):
        subject = testing.Subject.of(catalog.get(name))
        state = gl.migrate_state(subject.opt, params, states(release)[name])
        extra = subject.required_extra(params)
        updates, after = subject.opt.update(subject.gradients(params), state, params, **extra)
        assert all(np.isfinite(x).all() for x in jax.tree.leaves(updates))
        assert jax.tree.structure(after) == jax.tree.structure(state)
