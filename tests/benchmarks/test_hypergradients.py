"""All libraries compute the same hypergradient, and their table says what it cost."""

import dataclasses
import json
import math

import numpy as np
import pytest

from benchmarks import hypergradients, unrolls
from benchmarks.unrolls import ALL, FUSED, META_ADAM, OPTAX, PLAIN, RATE, SEGMENTS, Run

SMALL = Run(9, by=ALL, width=8, batch=4, hurry=True)


def needs_torchopt():
    pytest.importorskip("torchopt")


@pytest.fixture(scope="module")
def plain():
    return PLAIN.of(SMALL)


def test_optax_in_a_scan_gives_the_same(plain):
    ours, theirs = plain.call(), OPTAX.of(SMALL).call()
    assert set(ours) == set(theirs) == set(ALL)
    for name in ALL:
        assert theirs[name] == pytest.approx(ours[name], rel=2e-3), name


@pytest.mark.parametrize("way", [META_ADAM, FUSED], ids=lambda way: way.name)
def test_torchopt_gives_the_same_where_it_can(plain, way):
    needs_torchopt()
    ours, theirs = plain.call(), way.of(SMALL).call()
    assert set(theirs) == set(way.by)
    for name, value in theirs.items():
        assert value == pytest.approx(ours[name], rel=2e-3), name


def test_torchopt_cannot_differentiate_by_betas():
    needs_torchopt()
    with pytest.raises(TypeError, match="alpha"):
        META_ADAM.build(dataclasses.replace(SMALL, by=("b1",)))


def test_where_gradients_are_exactly_zero_ours_is_finite_and_optaxs_is_not():
    run = dataclasses.replace(SMALL, by=RATE, eps_root=0.0)
    assert math.isfinite(PLAIN.of(run).call()["learning_rate"])
    assert math.isnan(OPTAX.of(run).call()["learning_rate"])


def test_segments_need_a_fraction_of_the_memory():
    run = Run(144, width=8, batch=4, hurry=True)
    plain, segments = (way.of(run).temporary_bytes for way in (PLAIN, SEGMENTS))
    assert segments < 0.35 * plain  # of 144 steps, 12 and 12 starts


def test_the_fused_operator_stands_beside_metaadam_only_where_it_does_as_much():
    needs_torchopt()
    assert FUSED in unrolls.ways(dataclasses.replace(SMALL, by=RATE))
    assert FUSED not in unrolls.ways(SMALL)


def test_ratios_are_to_the_plain_mode_and_to_the_faster_torchopt():
    slow, fast = np.array([30.0, 40.0, 50.0]), np.array([10.0, 20.0, 40.0])
    assert hypergradients.fastest({"a": slow, "b": fast}) is fast
    assert hypergradients.fastest({}) is None
    row = hypergradients.times(np.array([2.0, 2.0, 2.0]), np.array([1.0, 4.0, 2.0]), fast)
    assert row["ratio"]["median"] == 1.0
    assert row["ratio_torchopt"]["median"] == 0.1
    assert "ratio_torchopt" not in hypergradients.times(fast, slow, None)
    assert hypergradients.memory(5, 20) == {"temporary_bytes": 5, "memory_ratio": 0.25}
    assert hypergradients.memory(None, 20) == {}
    assert hypergradients.difference({"a": 1.0}, {"a": -2.0, "b": 1.0}) == 1.5


def spread(median):
    return {"median": median, "low": median, "high": median, "repetitions": 1}


def segments_row(**changed):
    row = {"method": SEGMENTS.name, "library": "gradlab", "key": "1000 steps", "steps": 1000}
    row |= {"asked": "learning rate", "memory_ratio": 0.1, "time": spread(1.0)}
    return row | {"ratio": spread(1.6), "ratio_torchopt": spread(0.1)} | changed


@pytest.mark.parametrize(
    ("changed", "missed"),
    [
        ({}, []),
        ({"memory_ratio": 0.11}, ["memory"]),
        ({"ratio": spread(1.7)}, ["time"]),
        ({"ratio_torchopt": spread(0.2)}, ["of TorchOpt's time"]),
    ],
)
def test_targets_are_met_up_to_their_bounds(changed, missed):
    row = hypergradients.judged(segments_row(**changed))
    assert [t["what"] for t in row["targets"]] == ["memory", "time", "of TorchOpt's time"]
    assert [t["what"] for t in row["targets"] if not t["met"]] == missed
    assert ("why" in row) == bool(missed)
    assert hypergradients._target(row).count("**missed**") == len(missed)


def test_memory_and_time_of_segments_have_targets_from_a_thousand_steps_on():
    row = hypergradients.judged(segments_row(steps=200))
    assert [t["what"] for t in row["targets"]] == ["of TorchOpt's time"]
    theirs = hypergradients.judged(segments_row(method=OPTAX.name, library="optax"))
    assert theirs["targets"] == []


@pytest.mark.slow
def test_peak_growth_is_measured_where_the_system_counts():
    run = Run(400, width=64, batch=4, hurry=True)
    found = unrolls.peak_growth(PLAIN, run)
    if found is None:
        pytest.skip("the system does not count")
    assert found > 0.3 * PLAIN.of(run).temporary_bytes


@pytest.mark.slow
def test_the_table_has_a_row_for_every_way(monkeypatch):
    monkeypatch.setattr(unrolls, "peak_growth", lambda way, run: 1024)
    monkeypatch.setattr(unrolls, "WAYS", (PLAIN, SEGMENTS, META_ADAM))
    made = hypergradients.hypergradients(None, True, lambda line: None)
    json.dumps([table.data() for table in made])
    through, zero = made
    ways = [way.name for way in unrolls.ways(SMALL)]
    assert [row["method"] for row in through.rows] == ways * 2
    assert all(row["difference"] < 0.01 for row in through.rows)
    assert [row["value"] != "not a number" for row in zero.rows] == [True, True, False][: len(ways)]
    assert "| plain | all five |" in through.markdown()
