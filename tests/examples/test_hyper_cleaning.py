"""Wrong labels lose their weight, in a small instance of the study and in its committed table."""

import dataclasses
import re
from pathlib import Path

import jax
import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from gradlab.examples import hyper_cleaning as study
from tests.examples.pages import own_part, traces_of

COMMITTED = Path(__file__).parents[2] / "configs" / "hyper_cleaning.md"
CHOSEN = ("f2sa", "warm_start, unrolled")


@pytest.fixture(scope="module")
def outcomes():
    methods = study.methods()
    return study.run(study.tiny(), {name: methods[name] for name in CHOSEN})


def test_wrong_labels_are_wrong_and_validation_labels_are_right():
    found, again = (study.data(study.tiny()) for _ in range(2))
    assert np.array_equal(found.labels, again.labels)
    (images, labels), _ = study.problems.digits()
    truth = {image.tobytes(): label for image, label in zip(images, labels, strict=True)}
    for seed in range(2):
        pairs = zip(found.images[seed], found.labels[seed], strict=True)
        wrong = np.array([truth[image.tobytes()] != label for image, label in pairs])
        assert np.array_equal(wrong, found.wrong[seed])
        pairs = zip(found.validation_images[seed], found.validation_labels[seed], strict=True)
        assert all(truth[image.tobytes()] == label for image, label in pairs)
        own = {image.tobytes() for image in found.images[seed]}
        assert not own & {image.tobytes() for image in found.validation_images[seed]}
    assert 0.3 < found.wrong.mean() < 0.7


@pytest.mark.parametrize("name", CHOSEN)
def test_a_method_finds_wrong_labels_and_beats_no_cleaning(outcomes, name):
    base, found = outcomes[study.NOTHING], outcomes[name]
    assert np.all(found.errors < base.errors)
    assert np.all(found.found > 0.75)
    assert np.all(outcomes[study.ORACLE].errors < base.errors)


def test_no_more_than_what_intervals_show_is_said():
    base = study.Outcome(np.array([0.2, 0.2, 0.2]), None, None, None, 0.0)

    def of(*errors):
        return study.verdict(dataclasses.replace(base, errors=np.array(errors)), base)

    assert of(0.1, 0.11, 0.1) == "yes"
    assert of(0.1, 0.3, 0.19) == "not shown"
    assert of(0.3, 0.31, 0.3) == "no, it is worse"
    assert of(0.1, np.nan, 0.1) == "no, it is worse"


def test_ties_count_half():
    wrong = np.array([False, False, True, True])
    assert study.separation(np.array([0.9, 0.5, 0.5, 0.1]), wrong) == 0.875


def test_every_method_takes_a_step(outcomes):
    small = dataclasses.replace(study.tiny(), seeds=(0, 1), steps=30, training_steps=1)
    found = study.data(small)
    for name, method in study.methods().items():
        if name in CHOSEN:
            continue
        shapes = jax.eval_shape(lambda m=method: study.clean(small, found, m))
        assert shapes[0].shape == (2, 60), name


def test_the_page_and_the_table_say_the_same(outcomes, tmp_path):
    text = study.markdown(study.tiny(), outcomes)
    for row in study.rows(outcomes):
        assert f"| {' | '.join(row)} |" in text
    page = study.page(study.tiny(), outcomes)
    assert page.rows == study.rows(outcomes)
    ((figure, _),) = page.charts
    assert {trace.name for trace in figure.data} == {study.NOTHING, *CHOSEN}
    for trace in figure.data:
        found = outcomes[trace.name]
        last = found.errors if found.own is None else found.own
        assert trace.y[-1] == pytest.approx(100 * np.mean(last))
        assert trace.x[-1] == study.tiny().steps


def test_the_example_prints_its_table_and_writes_page_and_table(outcomes, tmp_path, monkeypatch):
    monkeypatch.setattr(study, "run", lambda _: outcomes)
    app, table = typer.Typer(), tmp_path / "table.md"
    app.command()(study.main)
    given = ["--tiny", "--output", str(tmp_path / "page"), "--table", str(table)]
    done = CliRunner().invoke(app, given)
    assert done.exit_code == 0, done.output
    assert study.NOTHING in done.output
    assert table.read_text() == study.markdown(study.tiny(), outcomes)
    own = own_part(tmp_path / "page" / "index.html")
    assert {trace["name"] for trace in traces_of(own)} == {study.NOTHING, *CHOSEN}
    assert all(f"<td>{name}</td>" in own for name in outcomes)


def test_the_committed_table_has_every_method_over_five_seeds():
    lines = [line for line in COMMITTED.read_text().splitlines() if line.startswith("| ")][2:]
    cells = {parts[0]: parts[1:] for parts in (line.strip("| ").split(" | ") for line in lines)}
    assert set(cells) >= set(study.methods()) | {study.NOTHING, study.ORACLE, study.VALIDATION}
    for name, row in cells.items():
        assert len(re.findall(r"[\d.]+", row[1])) == len(study.Study().seeds), name
