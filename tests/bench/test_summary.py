"""The table in the terminal says what was found, and why a row supports no claim."""

from gradlab.bench import score
from gradlab.bench.summary import print_summary
from tests.bench.synthetic import realistic, results_of, study, sweep_of, valley


def printed(results, tmp_path, capsys):
    print_summary(score.summary(results), tmp_path / "report.html")
    return capsys.readouterr().out


def line(text, optimizer):
    return next(line for line in text.splitlines() if line.strip().startswith(optimizer))


def test_each_row_has_its_verdict_and_the_report_its_path(tmp_path, capsys):
    text = printed(study(0.5, 0.2), tmp_path, capsys)
    assert line(text, "a ").rstrip().endswith("baseline")
    assert line(text, "b ").rstrip().endswith("better")
    assert str(tmp_path / "report.html") in text


def test_a_row_at_the_edge_makes_no_claim_and_the_reason_is_printed(tmp_path, capsys):
    text = printed(realistic(), tmp_path, capsys)
    edge = [row for row in text.splitlines() if "(edge)" in row]
    assert len(edge) == 1
    assert edge[0].split()[0] == "lion"
    assert "no claim: invalid row" in edge[0]
    assert "no claim for lion: the best learning rate is the highest of the sweep" in text


def test_an_invalid_baseline_takes_the_claim_from_every_row(tmp_path, capsys):
    trials = (
        *sweep_of(valley(0.3, 0.4, 0.8), optimizer="a"),
        *sweep_of(valley(0.8, 0.1, 0.8), optimizer="b"),
    )
    text = printed(results_of(trials), tmp_path, capsys)
    assert "no claim: invalid row" in line(text, "b ")
    assert "no claim for a: the best learning rate is the lowest of the sweep" in text


def test_a_label_with_brackets_is_printed_as_it_is(tmp_path, capsys):
    trials = sweep_of(valley(0.8, 0.4, 0.8), optimizer="a[red]")
    results = results_of(trials, optimizers=("a[red]",), baseline="a[red]")
    assert "a[red] " in printed(results, tmp_path, capsys)
