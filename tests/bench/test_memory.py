"""What parameters and state take, by arithmetic."""

import json

import pytest
from typer.testing import CliRunner

from gradlab import catalog
from gradlab.bench import memory
from gradlab.bench.commands import app
from gradlab.bench.errors import StudyError

ADAMW = {
    # Parameters, then state: two averages, and what the mode keeps. One scale of four bytes for
    # 256 numbers of 8 bits, and for 128 of 4 bits.
    "float32": (4, 8),
    "bfloat16 parameters, float32 state": (2, 8),
    "bfloat16, stochastic rounding": (2, 8),
    "bfloat16, master weights": (2, 8 + 4),
    "bfloat16, Kahan summation": (2, 8 + 2),
    "bfloat16, weight splitting": (2, 8 + 1),
    "float32, 8-bit state": (4, 2 * (1 + 4 / 256)),
    "float32, 4-bit state": (4, 2 * (1 / 2 + 4 / 128)),
    "float32, bfloat16 state": (4, 4),
    "bfloat16, weight splitting, 8-bit state": (2, 1 + 2 * (1 + 4 / 256)),
}


def test_adamw_takes_what_arithmetic_says():
    rows = memory.sizes(catalog.get("adamw"))
    assert {row.mode for row in rows} == set(ADAMW)
    for row in rows:
        parameters, state = ADAMW[row.mode]
        assert row.parameters == parameters
        assert row.state == pytest.approx(state, rel=1e-4), row.mode


@pytest.mark.parametrize(
    ("text", "count"), [("7B", 7e9), ("124M", 124e6), ("1.5e9", 1.5e9), ("1.5b", 1.5e9), ("12", 12)]
)
def test_counts_are_read(text, count):
    assert memory.count_of(text) == pytest.approx(count)


@pytest.mark.parametrize("text", ["", "B", "many", "-7B", "0", "nan", "infB"])
def test_what_is_no_count_is_refused(text):
    with pytest.raises(StudyError, match="is no number of parameters"):
        memory.count_of(text)


def test_matrix_methods_are_included():
    rows = {row.mode: row for row in memory.sizes(catalog.get("muon"))}
    assert rows["float32"].state == pytest.approx(4, rel=0.01)
    assert rows["float32, 8-bit state"].state == pytest.approx(1 + 4 / 256, rel=0.01)


def test_the_command_prints_bytes_and_totals():
    shown = CliRunner().invoke(app, ["show", "adamw", "--params", "7B"])
    assert shown.exit_code == 0, shown.output
    assert "7e+09 parameters" in shown.output
    assert "bfloat16, master weights" in shown.output
    assert "52.2" in shown.output  # 56e9 bytes of float32 state in GiB
    asked = CliRunner().invoke(app, ["show", "adamw", "--params", "124M", "--json"])
    rows = {row["mode"]: row for row in json.loads(asked.output)["memory"]}
    assert rows["float32"]["total_bytes"] == pytest.approx(12 * 124e6, rel=1e-6)
    refused = CliRunner().invoke(app, ["show", "adamw", "--params", "many"])
    assert refused.exit_code == 2
