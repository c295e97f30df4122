"""Every table of the benchmarks can be made, and says what it says."""

import json

import numpy as np
import pytest

from benchmarks import compare, pairs, report, table, tables
from benchmarks.limits import Limits, measure
from benchmarks.timing import Spread, in_turns, ratio
from benchmarks.workloads import workloads

LIMITS = Limits(copy=4e10, read=2e10, matmul=1e11)


def rows_of(name, monkeypatch):
    monkeypatch.setattr(pairs, "STEPS", pairs.STEPS[:2])
    made = tables.TABLES[name](LIMITS, True, lambda line: None)
    assert all("|---" in table.markdown() for table in made)
    json.dumps([table.data() for table in made])
    return [row for table in made for row in table.rows]


def test_steps_are_compared_with_optax_and_the_limits(monkeypatch):
    rows = rows_of("steps", monkeypatch)
    assert {(row["method"], row["key"]) for row in rows} == {
        (pair.method, key) for pair in pairs.STEPS for key in ("leaf", "gpt2")
    }
    for row in rows:
        ours = row["gradlab"]
        assert ours["step"]["median"] > 0
        assert row["ratio"]["low"] <= row["ratio"]["median"] <= row["ratio"]["high"]
        assert ours["state_bytes"] == row["optax"]["state_bytes"]
        assert ours["arrays_moved"] >= 7
        moved = 7 * ours["state_bytes"] / 2
        share = moved / ours["step"]["median"] / LIMITS.copy
        assert row["copy_share"] == pytest.approx(share, rel=0.02)


def test_many_arrays_and_matrices(monkeypatch):
    many = rows_of("many", monkeypatch)
    assert [(row["method"], row["key"]) for row in many] == [
        ("adamw", "many"),
        ("muon", "small matrices"),
    ]
    (large,) = rows_of("matrices", monkeypatch)
    assert large["matmul_share"] == large["gradlab"]["rate"] / LIMITS.matmul


def test_importing_is_timed_in_processes_of_their_own(monkeypatch):
    rows = {row["module"]: row for row in rows_of("startup", monkeypatch)}
    assert rows["jax"]["beyond_jax"] == 0
    assert all(row["seconds"] > 0 for row in rows.values())


def test_what_low_precision_and_flat_parameters_save(monkeypatch):
    rows = {row["method"]: row for row in rows_of("memory", monkeypatch)}
    wide, narrow = rows["adamw, float32"], rows["adamw, 8-bit state"]
    assert wide["state_bytes"] == rows["optax.adamw, float32"]["state_bytes"]
    assert narrow["state_bytes"] <= wide["state_bytes"]
    assert rows["  master weights"]["state_bytes"] > rows["  weight splitting"]["state_bytes"]
    assert 2 * rows["  master weights"]["parameter_bytes"] == wide["parameter_bytes"]
    assert all(row["ratio"]["median"] > 0 for row in rows.values())
    assert rows["update and apply"]["compile_ratio"] > 0


def test_adamw_in_one_pass_is_adamw(monkeypatch):
    import jax.numpy as jnp
    import optax

    from benchmarks import one_pass

    variants = {row["variant"] for row in rows_of("one-pass", monkeypatch)}
    assert {"plain", "in blocks", "one after the other", "plain, XLA's fusion"} <= variants
    monkeypatch.setattr(one_pass, "BLOCK", 16)
    draw = np.random.default_rng(0)
    g, p, m, v = (jnp.asarray(draw.normal(size=(7, 10)), jnp.float32) for _ in range(4))
    theirs = optax.adamw(1e-3)
    state = theirs.init(p)
    state = (state[0]._replace(count=jnp.int32(9), mu=m, nu=v**2), *state[1:])
    updates, after = theirs.update(g, state, p)
    for variant in (one_pass.plain, one_pass.in_blocks, one_pass.one_after_the_other):
        arrays = (p, m, v**2)
        for ours in variant([arrays, arrays], [g, g], jnp.float32(10)):
            for x, y in zip(ours, (p + updates, after[0].mu, after[0].nu), strict=True):
                np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-7)


def test_what_the_compiler_says_has_a_row_for_every_method():
    from benchmarks import temporaries
    from gradlab import catalog

    rows = [temporaries._row(catalog.get(name), 2**12) for name in ("lion", "laprop", "sam")]
    lion, laprop, sam = rows
    assert lion["temporaries"] < lion["optax_temporaries"]
    assert lion["moved"] < lion["optax_moved"]
    assert "optax_moved" not in laprop
    assert not sam["elementwise"]


def test_no_method_stores_more_than_optax_does():
    from benchmarks import temporaries
    from gradlab import catalog

    entries = [entry for entry in catalog.entries() if entry.kind == "transformation"]
    shared = [entry for entry in entries if temporaries._of_optax(entry) is not None]
    assert len(shared) > 20
    for entry in shared:
        row = temporaries._row(entry, 2**14)
        assert row["temporaries"] <= row["optax_temporaries"] + 0.05, entry.name


def test_a_ratio_is_taken_round_by_round():
    spread = ratio(np.array([1.0, 4.0, 3.0]), np.array([2.0, 2.0, 2.0]))
    assert spread == Spread(1.5, 1.0, 1.75, 3)


def test_calls_take_turns():
    seen = []
    took = in_turns({"a": lambda: seen.append("a"), "b": lambda: seen.append("b")}, 2, warm_up=1)
    assert "".join(seen) == "ab" + "ab" + "ba"
    assert [len(x) for x in took.values()] == [2, 2]


@pytest.mark.parametrize(
    ("spread", "target", "met"),
    [
        (Spread(1.1, 0.9, 1.2, 9), None, True),
        (Spread(1.1, 1.05, 1.2, 9), None, False),
        (Spread(0.5, 0.4, 0.6, 9), 0.5, True),
        (Spread(0.51, 0.4, 0.6, 9), 0.5, False),
    ],
)
def test_a_target_is_met_by_the_median_and_a_tie_by_the_spread(spread, target, met):
    assert compare.verdict(spread, target) == {"target": target, "met": met}


def test_what_was_missed_is_explained():
    rows = [{"method": "a", "why": "It is slow."}, {"method": "b"}]
    text = table.Table("Steps", "Notes.", (table.field("method", "method"),), rows).markdown()
    assert text.endswith("Missed, and why:\n\n- *a*: It is slow.")


def test_shapes_are_those_that_are_named():
    sizes = workloads()
    assert sizes["gpt2"].parameters == 124_439_808
    assert len(sizes["gpt2"].shapes) == 148
    assert sizes["leaf"].shapes == ((20_000_000,),)
    assert sizes["many"].shapes == ((1_000,),) * 2_000
    assert sizes["small matrices"].shapes == ((32, 32),) * 200
    assert len(sizes["large matrices"].shapes) == 72


def test_limits_are_measured():
    found = measure(tiny=True, repetitions=2)
    assert min(found.copy, found.read, found.matmul) > 0


def test_the_report_of_a_run_is_written(tmp_path, monkeypatch):
    made = tables.TABLES["many"](LIMITS, True, lambda line: None)
    text = report.write(tmp_path / "here", "many", made, LIMITS).read_text()
    assert "## Many arrays" in text
    assert "copying 40.0 GB/s" in text
    data = json.loads((tmp_path / "here" / "many.json").read_text())
    assert data["environment"]["jax"]
    assert data["tables"][0]["rows"][0]["gradlab"]["step"]["repetitions"] == 3


def test_the_readme_quotes_the_stored_run():
    assert report.readme() == report.README.read_text(), "run `python -m benchmarks`"
