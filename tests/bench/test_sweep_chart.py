"""A sweep shows every seed, what diverged, what does not fit, and where the best rate lies."""

import math

import pytest

from gradlab.bench import theme
from gradlab.bench.score import score
from gradlab.bench.sweep_chart import sweep_panels
from tests.bench.synthetic import flat, realistic, results_of, sweep_of


@pytest.fixture(scope="module")
def results():
    return realistic()


@pytest.fixture(scope="module")
def scored(results):
    return score(results)


def parts(chart, optimizer, part):
    return [t for t in chart.data if t.name == optimizer and t.uid.endswith(f"-{part}")]


def seeds(chart, optimizer, part):
    return [
        pair
        for trace in parts(chart, optimizer, part)
        for pair in zip(trace.x, trace.y, strict=True)
    ]


def test_every_seed_of_every_rate_is_in_the_optimizers_own_panel(results, scored):
    chart = sweep_panels(results, scored, "digits_mlp")
    assert chart.layout.grid.columns * chart.layout.grid.rows >= len(results.optimizers)
    for panel, label in enumerate(results.optimizers):
        points = scored.sweeps["digits_mlp", label]
        known = [(p.learning_rate, f) for p in points for f in p.finals if math.isfinite(f)]
        drawn = seeds(chart, label, "seeds") + seeds(chart, label, "above")
        assert len(drawn) == len(known)
        inside = seeds(chart, label, "seeds")
        assert inside == [pytest.approx(pair, rel=1e-6) for pair in known[: len(inside)]]
        assert len(seeds(chart, label, "diverged")) == sum(p.diverged for p in points)
        axes = {(t.xaxis, t.yaxis) for t in chart.data if t.name == label}
        assert axes == {tuple(theme.axes(panel).values())}


def test_all_panels_have_one_vertical_scale(results, scored):
    chart = sweep_panels(results, scored, "char_transformer")
    ranges = {chart.layout[f"yaxis{'' if k == 0 else k + 1}"].range for k in range(7)}
    assert len(ranges) == 1


def test_the_best_rate_has_a_ring_and_a_red_one_at_the_edge(results, scored):
    chart = sweep_panels(results, scored, "digits_mlp")
    for row in scored.tuned:
        if row.problem != "digits_mlp":
            continue
        (ring,) = parts(chart, row.optimizer, "best")
        assert ring.x[0] == pytest.approx(row.point.learning_rate)
        assert ring.y[0] == pytest.approx(row.point.final.center)
        assert (ring.marker.color == theme.LIGHT["bad"]) == (row.optimizer == "lion")
    words = [note.text for note in chart.layout.annotations]
    assert [("at the edge" in text) for text in words] == [o == "lion" for o in results.optimizers]
    assert all("sensitivity" in text for text in words)


def test_what_is_worse_than_the_start_is_held_at_the_top_and_what_diverged_is_a_cross():
    sweep = [flat(0.4), flat(0.5), flat(7.0), [[1.0, math.nan, math.nan]] * 3]
    results = results_of(sweep_of(sweep))
    chart = sweep_panels(results, score(results), "p")
    assert chart is not None
    (above,) = parts(chart, "a", "above")
    (diverged,) = parts(chart, "a", "diverged")
    assert "above the axis" in above.text[0]
    assert diverged.text[0].endswith("diverged")
    assert diverged.marker.symbol == "x-thin"
    assert set(above.y) == set(diverged.y)
    axis = chart.layout.yaxis
    top = 10 ** axis.range[1] if axis.type == "log" else axis.range[1]
    assert max(above.y) < top


def test_no_sweep_is_no_chart():
    results = results_of(())
    assert sweep_panels(results, score(results), "p") is None
