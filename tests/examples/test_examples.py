"""Every example runs in a few seconds, and what it says of conflicts is so."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from typer.testing import CliRunner

import gradlab as gl
from gradlab import problems
from gradlab.aggregators import value_and_jacobian
from gradlab.examples import _experiment, auxiliary_loss, noisy_labels, two_task_digits
from gradlab.examples._experiment import BETWEEN, HARMED, TOLERANCE, WITH_UPDATE
from gradlab.testing._subject import compiled_once
from tests.browser import browse, needs_browser
from tests.examples.pages import own_part, traces_of

EXAMPLES = {
    "two_task_digits": two_task_digits,
    "noisy_labels": noisy_labels,
    "auxiliary_loss": auxiliary_loss,
}


@pytest.fixture(scope="module")
def outcomes():
    return {name: _experiment.run(module.tiny()) for name, module in EXAMPLES.items()}


@pytest.mark.parametrize("name", EXAMPLES)
def test_gradients_conflict(outcomes, name):
    for label, outcome in outcomes[name].items():
        assert outcome.row["steps with a conflict"] > 0.2, label
        assert np.min(outcome.series[BETWEEN]) < -TOLERANCE


@pytest.mark.parametrize("name", ["two_task_digits", "noisy_labels"])
def test_upgrads_update_conflicts_with_no_objective_and_a_plain_sum_does(outcomes, name):
    total, surgery = outcomes[name].values()
    assert np.all(surgery.series[HARMED] == 0)
    assert surgery.row["steps that harm one"] == 0
    assert total.row["steps that harm one"] > 0


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_way_learns_from_the_same_start(outcomes, name):
    losses = next(key for key in next(iter(outcomes[name].values())).series if "loss" in key)
    first = [outcome.series[losses][0] for outcome in outcomes[name].values()]
    np.testing.assert_allclose(first, first[0], rtol=1e-6)
    for outcome in outcomes[name].values():
        assert all(np.all(np.isfinite(values)) for values in outcome.series.values())
    measured = [key for key in outcome.row if key.startswith("held-out")]
    start = EXAMPLES[name].tiny()
    fresh = start.init(jax.random.split(jax.random.key(0))[0])
    for key in measured:
        assert all(o.row[key] < start.measures[key](fresh) for o in outcomes[name].values())


def test_bloop_follows_the_main_loss_as_far_as_the_main_gradient_goes():
    made = auxiliary_loss.experiment(steps=1, batch_size=16, b1=0.0)
    way = next(way for way in made.ways if way.label == "bloop")
    params = made.init(jax.random.key(1))
    state = way.start(params)
    gradient = compiled_once(way.gradient)
    stacked = compiled_once(lambda p, batch: value_and_jacobian(made.losses, p, batch)[1])
    for seed in range(3):
        batch = made.sample(jax.random.key(seed))
        main = jax.tree.map(lambda x: x[0], stacked(params, batch))
        update, state = gradient(params, state, batch)
        along, own = gl.core.inner_product(update, main), gl.core.inner_product(main, main)
        assert along == pytest.approx(float(own), rel=1e-4)
        rest = jax.tree.map(lambda u, g: u - g, update, main)
        assert gl.core.inner_product(rest, rest) > 0


def test_bloop_costs_the_main_loss_less_than_a_weighted_sum(outcomes):
    found = outcomes["auxiliary_loss"]
    main, auxiliary = "main loss [nats]", "auxiliary loss [squared weights]"
    assert found["bloop"].row[main] < found["weighted sum"].row[main]
    assert found["bloop"].row[auxiliary] < found["main loss alone"].row[auxiliary]


def test_the_gramian_and_the_stack_give_the_same_gradient():
    made = noisy_labels.tiny()
    params, batch = made.init(jax.random.key(0)), made.sample(jax.random.key(1))
    way = made.ways[1]
    found, _ = compiled_once(way.gradient)(params, way.start(params), batch)
    stacked = _experiment.aggregated("stacked", gl.upgrad(), made.losses)
    expected, _ = compiled_once(stacked.gradient)(params, stacked.start(params), batch)
    for x, y in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-3, atol=1e-5)


def test_some_labels_are_wrong_and_always_the_same_ones():
    made = noisy_labels.experiment(steps=1, batch_size=2000, noise=0.3)
    (images, labels, right), again = (made.sample(jax.random.key(seed)) for seed in (0, 0))
    assert np.array_equal(labels, again[1])
    assert 0.2 < 1 - float(jnp.mean(right)) < 0.32  # a tenth of random labels is right
    by_image = {}
    for image, label in zip(np.asarray(images), np.asarray(labels), strict=True):
        assert by_image.setdefault(image.tobytes(), label) == label


def test_conflicts_are_cosines():
    stack = {"a": jnp.array([[3.0], [0.0]]), "b": jnp.array([[0.0], [-2.0]])}
    found = _experiment.conflicts(stack, {"a": jnp.array([1.0]), "b": jnp.array([1.0])})
    assert found[BETWEEN] == 0
    assert found[WITH_UPDATE] == pytest.approx(-(0.5**0.5))
    assert found[HARMED] == 0.5
    stack["b"] = jnp.array([[4.0], [-2.0]])
    named = _experiment.conflicts(stack, {"a": stack["a"][0], "b": stack["b"][0]}, ("one", "two"))
    assert named[BETWEEN] == pytest.approx(-0.8)
    assert [round(float(x), 4) for key, x in named.items() if "update" in key] == [1.0, -0.8]


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_prints_its_table_and_writes_a_page_with_its_charts(
    name, tmp_path, monkeypatch, outcomes
):
    import typer

    module, app = EXAMPLES[name], typer.Typer()
    monkeypatch.setattr(_experiment, "run", lambda experiment: outcomes[name])
    app.command()(module.main)
    done = CliRunner().invoke(app, ["--tiny", "--output", str(tmp_path / "new")])
    assert done.exit_code == 0, done.output
    assert "steps that harm one" in done.output
    own = own_part(tmp_path / "new" / "index.html")
    data, ways = traces_of(own), list(outcomes[name])
    series = next(iter(outcomes[name].values())).series
    assert len(data) == len(ways) * len(series)
    assert {trace["name"] for trace in data} == set(ways)
    for column in ("time of a step", "÷ plain", *(key for key in series)):
        assert f"<td>{column}</td>" in own


def test_the_gradient_of_an_image_that_is_all_but_certain_keeps_its_digits():
    made = noisy_labels.tiny()
    images = jnp.repeat(jnp.asarray(problems.digits()[0][0][:1]), 10, axis=0)
    batch = images, jnp.arange(10), jnp.ones(10, bool)

    @compiled_once
    def found(params, batch, label):
        return jax.grad(lambda p: made.losses(p, batch)[label])(params)

    params = made.init(jax.random.key(0))
    losses = np.asarray(made.losses(params, batch))
    label = int(losses.argmin())
    # The last layer's weights by a factor for which the second label is e**-12 as likely.
    factor = 12 / (np.sort(losses)[1] - losses[label])
    params[-1] = jax.tree.map(lambda x: factor * x, params[-1])
    assert 1e-6 < made.losses(params, batch)[label] < 1e-4
    single = jax.tree.leaves(found(params, batch, label))
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda x: jnp.asarray(np.asarray(x), jnp.float64), (params, images))
        double = jax.tree.leaves(found(wide[0], (wide[1], *batch[1:]), label))
    for one, other in zip(single, double, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-4 * np.abs(other).max())


@pytest.mark.browser
@needs_browser
@pytest.mark.parametrize("name", EXAMPLES)
def test_a_browser_draws_the_page_without_errors_or_requests(name, tmp_path, monkeypatch, outcomes):
    module, found = EXAMPLES[name], outcomes[name]
    monkeypatch.setattr(_experiment, "run", lambda experiment: found)
    seconds = {label: np.ones(1) for label in found}
    monkeypatch.setattr(_experiment, "time_steps", lambda experiment, rounds: seconds)
    path = _experiment.present(module.tiny(), tmp_path / "new", tiny=True)
    document, errors, requests = browse(path, tmp_path)
    assert 'data-ready="yes"' in document
    drawn = len(re.findall(r'class="trace scatter traces\d', document))
    assert drawn == len(found) * len(next(iter(found.values())).series)
    assert errors == []
    assert requests == []
