"""Examples that differentiate through training: what they say came out is what came out."""

import re

import numpy as np
import pytest
from typer.testing import CliRunner

from gradlab.examples import class_weights, maml_sinusoids, three_levels, tune_schedule
from tests.browser import browse, needs_browser
from tests.examples.pages import own_part, traces_of

pytestmark = pytest.mark.slow

EXAMPLES = {
    "tune_schedule": tune_schedule,
    "class_weights": class_weights,
    "maml_sinusoids": maml_sinusoids,
    "three_levels": three_levels,
}


@pytest.fixture(scope="module")
def found():
    """What each example finds in its tiny form; made when first asked for."""
    studies = {}

    def of(name):
        if name not in studies:
            studies[name] = EXAMPLES[name].study(EXAMPLES[name].tiny())
        return studies[name]

    return of


def test_a_tuned_rate_comes_near_the_best_of_a_sweep(found):
    tuned, sweep = (found("tune_schedule")[x] for x in (tune_schedule.RATE, tune_schedule.SWEEP))
    assert np.min(tuned["losses"]) < 0.5 * tuned["losses"][0]
    assert np.min(tuned["losses"]) < 1.25 * np.min(sweep["losses"])


def test_a_schedules_knots_part_and_the_loss_falls(found):
    tuned = found("tune_schedule")[tune_schedule.SCHEDULE]
    assert np.min(tuned["losses"]) < 0.7 * tuned["losses"][0]
    schedule = tuned["opt"].learning_rate
    assert not np.allclose(schedule.scales, 1, atol=0.1)
    setting = tune_schedule.tiny()
    assert schedule.boundaries[-1] == setting.steps  # which was not tuned
    assert tune_schedule.rate_at(tuned["opt"], 0) == pytest.approx(schedule.init_value)


def test_rates_are_swept_from_both_ends():
    assert tune_schedule.inwards(np.arange(5)).tolist() == [0, 4, 1, 3, 2]


def test_rare_classes_come_to_weigh_more_and_are_wrong_less_often(found):
    ways, rare = found("class_weights"), class_weights.tiny().rare
    weights = ways[class_weights.LEARNED]["weights"].mean(0)
    assert weights[rare:].min() > 2 * weights[:rare].max()
    wrong = {label: way["errors"][:, rare:].mean() for label, way in ways.items()}
    assert wrong[class_weights.LEARNED] < 0.6 * wrong[class_weights.EQUAL]
    assert np.allclose(ways[class_weights.EQUAL]["weights"], 1)


def test_data_of_class_weights_are_unbalanced_where_they_should_be_and_share_nothing():
    setting = class_weights.tiny()
    training, balanced, held_out = class_weights.data(setting)
    counts = np.bincount(training[1])
    assert counts[setting.rare :].max() < 0.15 * counts[: setting.rare].min()
    assert np.bincount(balanced[1]).tolist() == [setting.each] * 10
    pools = [{x.tobytes() for x in np.asarray(part[0])} for part in (training, balanced, held_out)]
    assert not pools[0] & pools[1]
    assert not (pools[0] | pools[1]) & pools[2]


def test_maml_fits_new_tasks_in_fewer_steps(found):
    ways = found("maml_sinusoids")
    errors = {label: way["errors"].mean(0) for label, way in ways.items()}
    for label in (maml_sinusoids.MAML, maml_sinusoids.RATES):
        for step in (1, -1):
            assert errors[label][step] < errors[maml_sinusoids.SCRATCH][step], (label, step)
            assert errors[label][step] < errors[maml_sinusoids.JOINT][step], (label, step)
    assert len(set(ways[maml_sinusoids.RATES]["rates"].values())) == 3


def test_weights_find_wrong_labels_and_strengths_move_as_far_as_there_is_a_level_for_them(found):
    ways, setting = found("three_levels"), three_levels.tiny()
    for label, way in ways.items():
        weighed = label in (three_levels.NO_TOP, three_levels.THREE)
        assert np.all(way["order"] > 0.75) if weighed else np.all(way["order"] == 0.5)
        for name, series in way["strengths"].items():
            less = label == three_levels.LESS_DECAY and name == "decay"
            start = getattr(setting, name) / (10 if less else 1)
            topped = label == three_levels.THREE or (
                label == three_levels.CLEAN_DECAY and name == "decay"
            )
            assert np.allclose(series[:, setting.top - 2], start, rtol=1e-5)  # before its time
            assert np.allclose(series[:, -1], start, rtol=1e-5) == (not topped), (label, name)
    shares = ways[three_levels.THREE]["converged"]
    assert set(shares) == {
        "weights through classifier",
        "strengths through classifier",
        "strengths through weights",
    }
    assert min(share for path, share in shares.items() if "classifier" in path) > 0.9


def test_three_levels_share_no_images_with_what_they_are_judged_by():
    setting = three_levels.tiny()
    noisy, wrong, clean, held_out = three_levels.data(setting)
    assert 0.3 < wrong.mean() < 0.7
    for seed in range(setting.seeds):
        own = [{x.tobytes() for x in np.asarray(part[0][seed])} for part in (noisy, clean)]
        test = {x.tobytes() for x in np.asarray(held_out[0])}
        assert not own[0] & own[1]
        assert not (own[0] | own[1]) & test


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_prints_its_table_and_writes_its_page(name, tmp_path, monkeypatch, found):
    import typer

    module, app, study = EXAMPLES[name], typer.Typer(), found(name)
    monkeypatch.setattr(module, "study", lambda setting: study)
    app.command()(module.main)
    done = CliRunner().invoke(app, ["--tiny", "--output", str(tmp_path / "new")])
    assert done.exit_code == 0, done.output
    own = own_part(tmp_path / "new" / "index.html")
    assert {trace["name"] for trace in traces_of(own)} - {"truth"} == set(study)
    heads = re.findall(r"<th>([^<]+)</th>", own)
    assert heads == list(study)
    assert "nan" not in re.sub(r"<script.*?</script>", "", own, flags=re.DOTALL)


@pytest.mark.browser
@needs_browser
@pytest.mark.parametrize("name", EXAMPLES)
def test_a_browser_draws_the_page_without_errors_or_requests(name, tmp_path, found):
    module = EXAMPLES[name]
    page, path = module.page(module.tiny(), found(name)), tmp_path / "page.html"
    path.write_text(page.render(), encoding="utf-8")
    document, errors, requests = browse(path, tmp_path)
    assert 'data-ready="yes"' in document
    drawn = len(re.findall(r'class="trace scatter traces\d', document))
    lines = [trace for chart, _ in page.charts for trace in chart.data if trace.name != "truth"]
    assert drawn == len(lines)
    assert errors == []
    assert requests == []
