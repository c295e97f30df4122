"""The `gradlab` command: what it prints, where, and how it ends."""

import json
import re
import subprocess
import sys

import pytest
from typer.testing import CliRunner

import gradlab
from gradlab import catalog
from gradlab.bench.commands import app, run_app

STUDY = """
name = "small"
baseline = "sgd"
seeds = [0, 1]
untuned = false
rates = { count = 2 }
probe = { repetitions = 2 }

[[problems]]
name = "digits_logistic"
horizon = 4
evaluations = 2
target = 1.0
target_origin = "fixed by hand for the tests"

[[optimizers]]
name = "sgd"
"""


def command(*arguments, code=None):
    """Runs the command as a process of its own."""
    start = ["-c", code] if code else ["-m", "gradlab.cli"]
    return subprocess.run(
        [sys.executable, *start, *map(str, arguments)], capture_output=True, text=True, timeout=120
    )


def within(*arguments):
    """Runs the command in this process."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    path = tmp_path_factory.mktemp("cli") / "small.toml"
    path.write_text(STUDY)
    return path


@pytest.fixture(scope="module")
def finished(study):
    directory = study.parent / "results"
    return directory, command("bench", study, "--directory", directory, "--jobs", 2)


def test_list_as_json_has_every_method_with_its_facts():
    done = within("list", "--json")
    assert done.exit_code == 0
    listed = json.loads(done.stdout)
    assert [item["name"] for item in listed] == [entry.name for entry in catalog.entries()]
    for item in listed:
        assert {"name", "room", "family", "ids", "paper", "needs", "traits"} <= set(item)
    by_name = {item["name"]: item for item in listed}
    assert by_name["adamw"]["room"] == "optimizers"
    assert by_name["adamw"]["family"] == "adaptive"
    assert by_name["sam"]["traits"]["gradient_evaluations"] == 2


def test_list_prints_every_name():
    done = within("list")
    assert done.exit_code == 0
    shown = [line.split()[0] for line in done.stdout.splitlines()[1:]]
    assert shown == [entry.name for entry in catalog.entries()]


def test_list_loads_no_package_that_it_does_not_need():
    code = (
        "import sys; from gradlab.cli import main\n"
        "sys.argv = ['gradlab', 'list', '--json']\n"
        "try: main()\n"
        "except SystemExit as end: assert end.code == 0\n"
        "heavy = 'flax sklearn optuna pyarrow plotly sqlalchemy jinja2'.split()\n"
        "print([name for name in heavy if name in sys.modules], file=sys.stderr)"
    )
    assert command(code=code).stderr.strip() == "[]"


@pytest.mark.parametrize("entry", catalog.entries(), ids=lambda entry: entry.name)
def test_show_tells_everything_about_every_method(entry):
    done = within("show", entry.name, "--json")
    assert done.exit_code == 0, done.output
    shown = json.loads(done.stdout)
    assert shown["formula"]
    if entry.kind in ("transformation", "regularizer"):
        assert shown["state_bytes_per_parameter"] >= 0
    else:
        assert shown["state_bytes_per_parameter"] is None
    assert shown["hypergradient"]["name"] == entry.name
    for paper in shown["paper"]:
        assert paper["title"]
        assert paper["year"]
    ranged = {item["name"] for item in shown["hyperparameters"] if item["range"]}
    assert ranged == set(entry.ranges)


def test_show_prints_formula_paper_ranges_and_state():
    done = within("show", "adamw")
    entry = catalog.get("adamw")
    assert done.exit_code == 0
    assert entry.formula in done.stdout
    assert "[0, 1)" in done.stdout
    assert "state: 8" in done.stdout
    assert re.search("hypergradients, relative to differences: learning_rate <?1e-", done.stdout)
    for key in entry.paper:
        assert f"[{key}]" in done.stdout


def test_an_unknown_method_is_a_usage_error_with_the_nearest_name():
    done = command("show", "adamx")
    assert done.returncode == 2
    assert "did you mean 'adam" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_an_unknown_study_is_a_usage_error_with_the_nearest_name():
    done = within("bench", "quikstart")
    assert done.exit_code == 2
    assert "did you mean 'quickstart'" in " ".join(done.stderr.replace("│", "").split())


def test_an_unknown_option_is_a_usage_error():
    assert within("bench", "quickstart", "--tinny").exit_code == 2


def test_the_version_is_printed():
    done = within("--version")
    assert (done.exit_code, done.stdout.strip()) == (0, gradlab.__version__)


def test_bench_ends_with_a_table_and_a_report(finished):
    directory, done = finished
    assert done.returncode == 0, done.stderr
    assert "Logistic regression on digits" in done.stdout
    assert "sgd" in done.stdout
    page = directory / "report.html"
    assert done.stdout.rstrip().endswith(f"report: {page}")
    assert "<html" in page.read_text()[:500].lower()


def test_progress_stays_out_of_pipes(finished):
    _, done = finished
    assert "\x1b" not in done.stdout + done.stderr
    assert done.stderr.splitlines() == [f"study small in {finished[0]}"]


def test_bench_again_only_reports_and_prints_what_a_program_reads(finished, study):
    directory, _ = finished
    logs = {path: path.read_text() for path in directory.rglob("log.jsonl")}
    done = within("bench", study, "--directory", directory, "--json")
    assert done.exit_code == 0, done.output
    summary = json.loads(done.stdout)
    assert summary["study"] == "small"
    assert summary["command"] == f"gradlab bench {study}"
    assert summary["report"] == str(directory / "report.html")
    assert [row["optimizer"] for row in summary["problems"][0]["rows"]] == ["sgd"]
    assert {path: path.read_text() for path in directory.rglob("log.jsonl")} == logs


def test_report_writes_the_page_again(finished):
    directory, _ = finished
    (directory / "report.html").unlink()
    done = within("report", directory, "--json")
    assert done.exit_code == 0, done.output
    assert (directory / "report.html").is_file()
    assert json.loads(done.stdout)["study"] == "small"


def _failure(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["gradlab", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        run_app()
    return end.value.code, capsys.readouterr()


def test_a_directory_without_a_study_is_one_message(monkeypatch, capsys, tmp_path):
    code, shown = _failure(monkeypatch, capsys, "report", tmp_path)
    assert code == 1
    assert shown.err == f"error: {tmp_path} holds no study: there is no study.json in it\n"
    assert shown.out == ""


def test_a_wrong_study_file_is_one_message(monkeypatch, capsys, tmp_path):
    path = tmp_path / "wrong.toml"
    path.write_text(STUDY.replace("horizon", "horizn"))
    code, shown = _failure(monkeypatch, capsys, "bench", path)
    assert code == 1
    assert shown.err.startswith(f"error: {path}: problems[0]: unknown field 'horizn'; did you mean")
    assert len(shown.err.splitlines()) == 1


def test_a_study_of_another_configuration_is_not_mixed_in(monkeypatch, capsys, finished, tmp_path):
    path = tmp_path / "small.toml"
    path.write_text(STUDY.replace("horizon = 4", "horizon = 6"))
    code, shown = _failure(monkeypatch, capsys, "bench", path, "--directory", finished[0])
    assert code == 1
    assert "results of different configurations are never mixed" in shown.err


def test_without_the_extra_the_command_says_how_to_get_it():
    code = (
        "import sys; sys.modules['typer'] = sys.modules['optuna'] = None\n"
        "from gradlab.cli import main; main()"
    )
    done = command(code=code)
    assert done.returncode == 1
    assert "missing: typer, optuna" in done.stderr
    assert "pip install 'gradlab[bench]'" in done.stderr
    assert "Traceback" not in done.stderr
