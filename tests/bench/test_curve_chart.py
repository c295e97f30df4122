"""Learning curves show the means and intervals that the score knows, for every cost."""

import math

import numpy as np
import pytest

from gradlab.bench.curve_chart import learning_curves
from gradlab.bench.intervals import mean_interval
from gradlab.bench.rows import row_trials
from gradlab.bench.score import score
from tests.bench.synthetic import realistic, results_of, study, sweep_of


@pytest.fixture(scope="module")
def results():
    return realistic()


@pytest.fixture(scope="module")
def scored(results):
    return score(results)


@pytest.fixture(scope="module")
def chart(results, scored):
    return learning_curves(results, scored, "digits_mlp")


def lines(chart):
    return {trace.name: trace for trace in chart.data if trace.uid.endswith("-mean")}


def bands(chart):
    return {trace.name: trace for trace in chart.data if trace.uid.endswith("-interval")}


def test_each_optimizer_has_one_line_and_one_band_and_the_baseline_lies_on_top(results, chart):
    assert set(lines(chart)) == set(bands(chart)) == set(results.optimizers)
    assert len(chart.data) == 2 * len(results.optimizers)
    assert chart.data[-1].name == results.baseline


def test_lines_and_bands_are_geometric_means_with_their_intervals(results, scored, chart):
    assert chart.layout.yaxis.type == "log"
    for row in scored.tuned:
        if row.problem != "digits_mlp":
            continue
        trials = row_trials(results, row)
        logs = np.log([trial.values for trial in trials])
        intervals = [mean_interval(column) for column in logs.T]
        low, high = np.exp([[i.low, i.high] for i in intervals]).T
        line, band = lines(chart)[row.optimizer], bands(chart)[row.optimizer]
        assert list(line.x) == trials[0].steps.tolist()
        np.testing.assert_allclose(line.y, np.exp(logs.mean(axis=0)), rtol=1e-6)
        np.testing.assert_allclose(line.customdata, np.stack([low, high], -1), rtol=1e-6)
        np.testing.assert_allclose(band.y, np.concatenate([high, low[::-1]]), rtol=1e-6)
        assert list(band.x) == [*line.x, *reversed(line.x)]


def test_no_evaluation_is_left_out(results, chart):
    assert all(len(line.x) == 41 for line in lines(chart).values())


def test_the_page_can_draw_every_cost(scored, chart):
    assert list(chart.layout.meta["measures"]) == ["steps", "gradient_evaluations", "seconds"]
    rows = {row.optimizer: row for row in scored.tuned if row.problem == "digits_mlp"}
    for trace in chart.data:
        row = rows[trace.name]
        assert trace.meta["steps"] == 1
        assert trace.meta["gradient_evaluations"] == row.gradients_per_step
        assert trace.meta["seconds"] == row.seconds_per_step
    assert lines(chart)["sam"].meta["gradient_evaluations"] == 2


def test_the_target_is_a_line_over_the_whole_width(chart):
    (line,) = chart.layout.shapes
    assert (line.y0, line.y1, line.xref, line.label.text) == (
        0.15,
        0.15,
        "x domain",
        "target 0.150",
    )


def test_the_legend_is_in_the_order_in_which_the_curves_end(chart):
    ordered = sorted(lines(chart).values(), key=lambda line: line.legendrank)
    ends = [float(line.y[-1]) for line in ordered]
    assert ends == sorted(ends, reverse=True)


def test_a_metric_that_falls_little_has_a_linear_axis_and_arithmetic_means():
    results = study(0.5, 0.4)
    chart = learning_curves(results, score(results), "p")
    assert chart is not None
    assert chart.layout.yaxis.type == "linear"
    np.testing.assert_allclose(lines(chart)["b"].y, [1.0, 0.9, 0.4], rtol=1e-6)


def test_a_cost_that_was_not_measured_is_not_offered():
    results = study(0.5, 0.4, timings=())
    chart = learning_curves(results, score(results), "p")
    assert chart is not None
    assert list(chart.layout.meta["measures"]) == ["steps", "gradient_evaluations"]
    assert all(trace.meta["seconds"] is None for trace in chart.data)


def test_a_single_seed_has_a_line_and_no_band():
    results = results_of(sweep_of([[[1.0, 0.5]]] * 3))
    chart = learning_curves(results, score(results), "p")
    assert chart is not None
    assert [trace.uid for trace in chart.data] == ["s0-mean"]


def test_a_seed_that_diverges_ends_the_line():
    results = results_of(sweep_of([[[1.0, 0.9, math.nan], [1.0, 0.8, 0.7]]] * 3))
    chart = learning_curves(results, score(results), "p")
    assert chart is not None
    line = lines(chart)["a"]
    assert np.isnan(line.y).tolist() == [False, False, True]
    assert list(bands(chart)["a"].x) == [0, 10, 10, 0]


def test_nothing_evaluated_is_no_chart():
    results = results_of(())
    assert learning_curves(results, score(results), "p") is None
