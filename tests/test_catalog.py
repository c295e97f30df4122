"""The catalogue finds methods by their files and knows their papers."""

import inspect
import math

import pytest

import gradlab as gl
from gradlab import catalog, core

ENTRIES = {entry.name: entry for entry in catalog.entries()}
FIRST = [
    "sgd",
    "adam",
    "adamw",
    "amsgrad",
    "adamax",
    "nadam",
    "nadamw",
    "radam",
    "adabelief",
    "adagrad",
    "rmsprop",
    "lion",
    "ademamix",
    "adopt",
    "laprop",
    "clip_by_global_norm",
    "adaptive_grad_clip",
    "add_noise",
    "muon",
    "sam",
    "pcgrad",
    "upgrad",
]


def test_the_first_methods_are_all_there():
    assert set(FIRST) <= set(ENTRIES)


@pytest.mark.parametrize("name", ENTRIES)
def test_an_entry_is_complete(name):
    entry = ENTRIES[name]
    assert entry.paper
    for key in entry.paper:
        paper = catalog.bibliography()[key]
        assert paper["title"]
        assert paper["authors"]
        assert paper["year"]
        assert paper.get("arxiv") or paper.get("venue")
    assert entry.formula
    made = {"transformation": gl.Transform, "regularizer": gl.core.Regularizer}
    if entry.makes_data:
        assert isinstance(entry.make(), made.get(entry.kind, gl.core.Data))
    documentation = inspect.getdoc(entry.function) or ""
    for part in ("Args:", "Returns:", "Raises:", "References:", "Example:", ">>>"):
        assert part in documentation, f"{name}: its docstring has no {part}"
    for argument in inspect.signature(entry.function).parameters:
        assert f"{argument}:" in documentation, f"{name}: {argument} is not documented"


@pytest.mark.parametrize("name", ENTRIES)
def test_a_search_space_lies_in_the_ranges_and_around_the_example(name):
    entry = ENTRIES[name]
    if not entry.makes_data:
        assert not entry.search_space
        return
    # A wrapper's space may name what its inner optimizer has.
    inner = {path.rsplit(".", 1)[-1]: x for path, x in core.intervals(entry.make()).items()}
    for argument, (low, high, scale) in entry.search_space.items():
        assert scale in ("log", "linear")
        assert low < high
        assert scale == "linear" or low > 0
        interval = (inner | entry.ranges)[argument]
        assert all(math.isfinite(x) for x in (low, high))
        assert interval.low <= low <= high <= interval.high


def test_bibliography_has_no_entry_that_nobody_cites():
    cited = {key for entry in ENTRIES.values() for key in entry.paper}
    assert set(catalog.bibliography()) == cited


def test_unknown_names_show_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'lion'"):
        catalog.get("lyon")


def test_every_method_and_direction_is_exported_with_a_type():
    for entry in ENTRIES.values():
        separate = ("meta", "projections", "prox", "solvers")
        place = getattr(gl, entry.room) if entry.room in separate else gl
        assert vars(place)[entry.name] is entry.function
