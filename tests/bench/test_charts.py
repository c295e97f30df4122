"""Profiles, tuning and the split of time hold the numbers of the score."""

import dataclasses
import math

import numpy as np
import pytest

from gradlab.bench import charts, theme
from gradlab.bench.score import COSTS, score
from tests.bench.synthetic import realistic, results_of, sweep_of, valley


@pytest.fixture(scope="module")
def results():
    return realistic()


@pytest.fixture(scope="module")
def scored(results):
    return score(results)


def test_a_profile_is_a_staircase_of_the_scored_fractions(results, scored):
    chart = charts.profile_panels(results, scored)
    for panel, measure in enumerate(COSTS):
        traces = {t.name: t for t in chart.data if t.uid.endswith(f"-{measure}")}
        assert set(traces) == set(results.optimizers)
        for profile in scored.profiles[measure]:
            trace = traces[profile.optimizer]
            assert trace.xaxis == theme.axes(panel)["xaxis"]
            assert trace.line.shape == "hv"
            np.testing.assert_allclose(trace.x, profile.taus, rtol=1e-6)
            np.testing.assert_allclose(trace.customdata, profile.fractions, rtol=1e-6)
            np.testing.assert_allclose(trace.y, profile.fractions, atol=0.05)


def test_tuning_shows_both_values_with_their_intervals(results, scored):
    chart = charts.tuning_chart(results, scored, "digits_logistic")
    traces = {trace.name: trace for trace in chart.data}
    for rows, place, symbol in ((scored.untuned, 0, "circle-open"), (scored.tuned, 1, "circle")):
        for row in rows:
            if row.problem != "digits_logistic":
                continue
            trace, final = traces[row.optimizer], row.point.final
            assert trace.x[place] == pytest.approx(final.center)
            assert trace.error_x.array[place] == pytest.approx(final.high - final.center, rel=1e-5)
            assert trace.error_x.arrayminus[place] == pytest.approx(
                final.center - final.low, rel=1e-5
            )
            assert trace.marker.symbol[place] == symbol
            assert set(trace.y) == {row.optimizer}


def test_a_diverged_default_is_a_cross_at_the_end_of_the_axis():
    trials = sweep_of(valley(0.8, 0.4, 0.8), default=[[1.0, math.nan, math.nan]] * 3)
    results = results_of(trials)
    chart = charts.tuning_chart(results, score(results), "p")
    assert chart is not None
    (trace,) = chart.data
    assert trace.marker.symbol == ("x-thin", "circle")
    assert trace.x[0] == pytest.approx(chart.layout.xaxis.range[1])
    assert trace.text[0] == "untuned: diverged"


def test_bars_are_the_pieces_as_often_as_they_happen(results, scored):
    chart = charts.time_chart(results, scored, "digits_mlp")
    bars = {bar.name: bar for bar in chart.data}
    often = {"trace": 1, "compile": 1, "data": 400, "step": 400, "evaluation": 41}
    assert set(bars) == set(often)
    for piece, count in often.items():
        times = [scored.implementation["digits_mlp", o].seconds[piece] for o in results.optimizers]
        np.testing.assert_allclose(bars[piece].x, np.multiply(times, count), rtol=1e-6)
        assert bars[piece].y == results.optimizers
    assert {bar.xaxis for bar in chart.data} == {"x", "x2"}
    assert chart.layout.xaxis.title.text == "once [s]"


def test_short_times_are_in_milliseconds(results):
    short = tuple(dataclasses.replace(t, median=t.median / 100) for t in results.timings)
    quick = dataclasses.replace(results, timings=short)
    chart = charts.time_chart(quick, score(quick), "digits_mlp")
    assert chart is not None
    assert chart.layout.xaxis.title.text == "once [ms]"
    assert chart.data[0].x[0] == pytest.approx(2.0)


def test_without_data_there_is_no_chart():
    results = results_of((), timings=(), problems=())
    assert charts.profile_panels(results, score(results)) is None
    results = results_of((), timings=())
    assert charts.tuning_chart(results, score(results), "p") is None
    assert charts.time_chart(results, score(results), "p") is None
