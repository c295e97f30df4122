"""What the examples about outer gradients say is so, in small."""

import dataclasses

import jax
import numpy as np
import pytest
import typer
from typer.testing import CliRunner

import gradlab as gl
from gradlab.examples import _page, chaotic_unroll, meta_train
from tests.examples.pages import own_part, traces_of


@pytest.fixture(scope="module")
def runs():
    return {way: chaotic_unroll.tune(chaotic_unroll.TINY, way) for way in chaotic_unroll.WAYS}


@pytest.mark.slow
def test_plain_gradients_of_a_chaotic_run_explode_and_persistent_strategies_lower_its_loss(runs):
    plain, clipped, persistent = runs.values()
    for found in (plain, clipped):
        assert np.max(found["size"]) > 1e6
        assert len(np.unique(found["theta"])) > 50  # it moves: nothing has overflown
    assert np.max(persistent["size"]) < 100
    loss, *others = map(chaotic_unroll.loss_at_the_end, (persistent, plain, clipped))
    assert loss < 0.8 * persistent["loss"][0]
    assert loss < 0.8 * min(others)


@pytest.mark.slow
def test_the_spectrum_tells_the_rates_apart():
    said = chaotic_unroll.verdicts(chaotic_unroll.TINY, {"calm": -2.0, "wild": 0.8})
    assert "can be used" in said["calm"]
    assert "useless" in said["wild"]


@pytest.mark.slow
def test_the_chaotic_example_writes_its_page(runs, tmp_path, monkeypatch):
    monkeypatch.setattr(chaotic_unroll, "tune", lambda tuning, way: runs[way])
    app = typer.Typer()
    app.command()(chaotic_unroll.main)
    done = CliRunner().invoke(app, ["--tiny", "--output", str(tmp_path / "new")])
    assert done.exit_code == 0, done.output
    assert "At the begin: the gradient of this unroll is useless" in done.output
    data = traces_of(own_part(tmp_path / "new" / "index.html"))
    assert len(data) == 3 + 2 * len(chaotic_unroll.WAYS)


@pytest.mark.slow
@pytest.mark.parametrize("rule", meta_train.RULES)
def test_meta_training_lowers_the_outer_loss(rule, monkeypatch):
    monkeypatch.setattr(meta_train, "training_families", lambda: (meta_train.quadratics(4),))
    plan = dataclasses.replace(meta_train.TINY, outer_steps=60)
    told = []
    weights, losses = meta_train.meta_train(rule, plan, told=told.append)
    assert losses.shape == (60, 1)
    assert losses[-10:].mean() < 0.8 * losses[:10].mean()
    assert told[-1].startswith("outer step 60: ")
    fresh = meta_train.RULES[rule][1](jax.random.split(jax.random.key(0))[0])
    moved = jax.tree.map(lambda a, b: bool(np.all(a != b)), weights, fresh)
    assert moved == dict.fromkeys(fresh, True)


def comparison(adam, learned, rate=0.1, edge=False):
    curves = np.ones((len(adam), 20))
    return meta_train.Comparison(
        rate, edge, curves, curves / 2, (np.array(adam), np.array(learned))
    )


def test_a_verdict_needs_an_interval_that_leaves_out_zero():
    assert comparison([1.0, 1.1, 0.9], [0.5, 0.6, 0.4]).verdict == "learned"
    assert comparison([0.5, 0.6, 0.4], [1.0, 1.1, 0.9]).verdict == "adam"
    assert comparison([1.0, 0.2, 0.9], [0.5, 0.9, 0.4]).verdict == "no difference"


def test_the_best_rate_of_a_grid_is_adams_and_an_edge_is_told_of():
    found = {"bowl": comparison([1.0, 1.1, 0.9], [0.5, 0.6, 0.4], 1e-4, True)}
    assert meta_train.table(found) == [
        ["bowl", "1.0e-04 (edge of the grid)", "1.0000 ± 0.1000", "0.5000 ± 0.1000", "learned"]
    ]


@pytest.mark.slow
def test_adam_is_tuned_on_the_task_itself(monkeypatch):
    tasks = {"bowls": (meta_train.quadratics(4), 30)}
    monkeypatch.setattr(meta_train, "held_out", lambda plan: tasks)
    plan = dataclasses.replace(meta_train.TINY, rates=(1e-5, 0.1, 10.0))
    found = meta_train.compare(gl.adam(1e-5), plan)["bowls"]
    assert (found.rate, found.edge, found.verdict) == (0.1, False, "adam")
    alone = meta_train.curves(*tasks["bowls"][:1], gl.stack([gl.adam(0.1)]), 30, plan.seeds)
    np.testing.assert_allclose(found.adam, alone[0], rtol=1e-4)
    assert np.all(alone <= meta_train.WORST)


def test_the_meta_training_page_shows_every_task(tmp_path):
    found = {
        "digits": comparison([1.0, 1.1, 0.9], [0.5, 0.6, 0.4]),
        "bowls": comparison([1.0, 1.1, 0.9], [1.5, 1.6, 1.4]),
    }
    text = own_part(meta_train.page("learned_mlp", np.ones((50, 2)), found).write(tmp_path))
    assert len(traces_of(text)) == 1 + 2 * len(found)
    for words in ("<td>digits</td>", "<td>learned</td>", "<td>adam</td>", "favours Adam"):
        assert words in text


def test_a_label_has_one_colour_in_all_panels():
    curve = _page.steps([1.0, 2.0])
    panels = [
        _page.Panel("a", "step", {"x": curve, "y": curve}), _page.Panel("b", "step", {"y": curve})
    ]  # fmt: skip
    colors = {}
    for trace in _page.chart("two", panels, ("x", "y")).data:
        colors.setdefault(trace.name, set()).add(trace.line.color)
    assert {name: len(seen) for name, seen in colors.items()} == {"x": 1, "y": 1}
    assert colors["x"] != colors["y"]
