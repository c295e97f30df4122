"""The score of a study is strict JSON, ranked by the end of training, with every miss visible."""

import json
import math

import numpy as np

from gradlab.bench.score import plain, score, summary
from tests.bench.synthetic import (
    realistic,
    results_of,
)

INF = math.inf


class TestSummary:
    def test_it_is_strict_json_and_a_miss_stays_visible(self):
        data = summary(realistic())
        text = json.dumps(data, allow_nan=False)
        assert json.loads(text) == data
        rows = data["problems"][0]["rows"]
        assert {row["optimizer"] for row in rows} == set(realistic().optimizers)
        assert "inf" in [point["final"]["center"] for row in rows for point in row["sweep"]]

    def test_rows_are_ranked_by_the_mean_value_at_the_end(self):
        for entry in summary(realistic())["problems"]:
            finals = [row["final"]["center"] for row in entry["rows"]]
            assert finals == sorted(finals)

    def test_every_row_but_the_baseline_is_compared_with_it(self):
        for row in summary(realistic())["problems"][1]["rows"]:
            measures = set(row["against_baseline"])
            assert measures == (
                set()
                if row["optimizer"] == "adamw"
                else {"steps", "gradient_evaluations", "seconds", "final"}
            )

    def test_plain_turns_arrays_and_special_numbers_into_json(self):
        value = plain({"x": np.array([1.0, INF, -INF, math.nan]), "n": np.int64(3), "t": True})
        assert value == {"x": [1.0, "inf", "-inf", None], "n": 3, "t": True}

    def test_a_study_that_has_not_started_can_be_scored(self):
        empty = score(results_of([]))
        assert all(not row.valid for row in empty.tuned)
        assert not all(point.met for point in empty.protocol)
        json.dumps(summary(results_of([])), allow_nan=False)
