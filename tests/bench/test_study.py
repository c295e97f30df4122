"""A study file says clearly what is wrong with it."""

import pytest

from gradlab.bench.errors import StudyError
from gradlab.bench.library import find, shipped
from gradlab.bench.study import read_study, shrink
from tests.bench import studies
from tests.bench.studies import problem, small, tables

WRONG = {
    "unknown field": (
        tables(problems=[problem(horizn=3)]),
        r"problems\[0\]: unknown field 'horizn'; did you mean 'horizon'\?",
    ),
    "unknown table": (tables(rate={}), "unknown field 'rate'; did you mean 'rates'"),
    "missing": (
        tables(problems=[{"name": "digits_logistic", "horizon": 3, "target": 1.0}]),
        r"problems\[0\]\.target_origin: missing",
    ),
    "wrong kind": (
        tables(problems=[problem(horizon="many")]),
        r"problems\[0\]\.horizon: 'many' is not allowed: .*integer",
    ),
    "out of range": (tables(rates={"count": 0}), r"rates\.count: 0 is not allowed: .*greater"),
    "unknown schedule": (
        tables(schedule={"kind": "cosin"}),
        r"schedule\.kind: 'cosin' is not allowed: it must be 'constant' or 'warmup_cosine'",
    ),
    "unknown optimizer": (
        tables(optimizers=[{"name": "adamv"}]),
        r"optimizers\[0\]\.name: unknown optimizer 'adamv'; did you mean 'adam",
    ),
    "unknown hyperparameter": (
        tables(optimizers=[{"name": "sgd", "fixed": {"momentun": 0.9}}]),
        r"optimizers\[0\]\.fixed: .*'momentun'; did you mean 'momentum'",
    ),
    "hyperparameter out of range": (
        tables(optimizers=[{"name": "adamw", "fixed": {"b1": 1.5}}]),
        r"optimizers\[0\]\.fixed: .*b1.*1\.5",
    ),
    "not an optimizer": (
        tables(optimizers=[{"name": "clip_by_global_norm"}]),
        r"optimizers\[0\]\.name: 'clip_by_global_norm' only transforms gradients",
    ),
    "penalty": (
        tables(optimizers=[{"name": "norm_loss"}]),
        r"optimizers\[0\]\.name: 'norm_loss' is a regularizer, not an optimizer",
    ),
    "aggregator": (
        tables(optimizers=[{"name": "pcgrad"}]),
        r"optimizers\[0\]\.name: 'pcgrad' combines the gradients of several objectives",
    ),
    "unknown problem": (
        tables(problems=[problem(name="digits_logistics")]),
        r"problems\[0\]\.name: unknown problem 'digits_logistics'; did you mean 'digits_logistic'",
    ),
    "unknown setting": (
        tables(problems=[problem(settings={"batchsize": 3})]),
        r"problems\[0\]\.settings: unknown setting 'batchsize'; did you mean 'batch_size'",
    ),
    "setting of the wrong kind": (
        tables(problems=[problem(settings={"batch_size": 0})]),
        r"problems\[0\]\.settings\.batch_size: 0 is not allowed: it must be a positive whole",
    ),
    "evaluations that do not divide": (
        tables(problems=[problem(horizon=10, evaluations=3)]),
        r"problems\[0\]\.evaluations: 3 is not allowed: it must divide the horizon of 10",
    ),
    "unknown baseline": (tables(baseline="sdg"), "baseline: unknown label 'sdg'; did you mean"),
    "label twice": (
        tables(optimizers=[{"name": "sgd"}, {"name": "sgd"}]),
        r"optimizers\[1\]\.label: 'sgd' appears twice",
    ),
    "seed twice": (tables(seeds=[1, 1]), r"seeds\[1\]: 1 appears twice"),
    "unknown landscape": (
        tables(trajectories={"landscapes": ["bele"]}),
        r"trajectories\.landscapes\[0\]: unknown landscape 'bele'; did you mean 'beale'",
    ),
    "tiny without the baseline": (
        tables(optimizers=[{"name": "sgd"}, {"name": "adamw"}], tiny={"optimizers": ["adamw"]}),
        r"tiny\.optimizers: they must hold the baseline 'sgd'",
    ),
    "tiny of nothing": (
        tables(tiny={"problems": [{"name": "digits", "horizon": 2}]}),
        r"tiny\.problems\[0\]\.name: unknown problem 'digits'",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_study_names_key_value_and_what_is_allowed(name):
    data, message = WRONG[name]
    with pytest.raises(StudyError, match=message):
        small(**data)


def test_a_file_that_is_no_toml_is_named_with_the_line(tmp_path):
    path = tmp_path / "broken.toml"
    path.write_text("name = \n")
    with pytest.raises(StudyError, match=r"broken\.toml: not a TOML file: .*line 1"):
        read_study(path)


def test_a_file_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(StudyError, match=r"none\.toml: No such file"):
        read_study(tmp_path / "none.toml")


@pytest.mark.parametrize("name", shipped())
def test_every_shipped_study_can_be_read_whole_and_tiny(name):
    study = read_study(find(name))
    assert study.name == name
    if study.tiny is not None:
        assert shrink(study).name == f"{name}-tiny"


def test_the_quickstart_keeps_its_promises():
    study = read_study(find("quickstart"))
    assert len(study.optimizers) >= 6
    assert {p.name for p in study.problems} == {"digits_logistic", "digits_mlp", "char_transformer"}
    assert study.rates.count == 7
    assert study.rates.factor == pytest.approx(10**0.5, rel=1e-12)
    assert len(study.seeds) == 3
    assert study.untuned
    assert study.probe.repetitions >= 30
    assert study.baseline == "adamw"


def test_the_tiny_version_changes_only_what_its_table_says():
    study = small(
        optimizers=[{"name": "sgd"}, {"name": "adamw"}],
        tiny={
            "optimizers": ["sgd"],
            "problems": [{"name": "digits_logistic", "horizon": 4, "settings": {"batch_size": 2}}],
        },
    )
    tiny = shrink(study)
    assert [optimizer.label for optimizer in tiny.optimizers] == ["sgd"]
    assert (tiny.problems[0].horizon, tiny.problems[0].evaluations) == (4, 2)
    assert tiny.problems[0].settings == {"batch_size": 2}
    assert tiny.problems[0].target == study.problems[0].target
    assert tiny.schedule == study.schedule


def test_a_study_without_a_tiny_table_says_so():
    with pytest.raises(StudyError, match=r"'small' has no \[tiny\] table"):
        shrink(small())


def test_an_unknown_study_names_the_nearest_shipped_one():
    with pytest.raises(StudyError, match="did you mean 'quickstart'"):
        find("quikstart")


def test_a_study_file_that_is_not_there_is_named():
    with pytest.raises(StudyError, match=r"there is no study file nowhere\.toml"):
        find("nowhere.toml")


def test_labels_default_to_names():
    study = studies.small(optimizers=[{"name": "sgd"}, {"name": "sgd", "label": "again"}])
    assert [optimizer.label for optimizer in study.optimizers] == ["sgd", "again"]
