"""The report is one file that holds everything a study showed and loads nothing."""

import dataclasses
import json
import math
import re
from html.parser import HTMLParser

import pytest
from plotly.offline import get_plotlyjs

from gradlab.bench.report import render, write
from gradlab.bench.results import Trial
from tests.bench.synthetic import realistic, results_of, sweep_of
from tests.browser import browse, needs_browser


@pytest.fixture(scope="module")
def results():
    return realistic()


@pytest.fixture(scope="module")
def page(results):
    return render(results)


@pytest.fixture(scope="module")
def own(page):
    """The page without plotly's script, which it holds exactly once."""
    assert page.count(get_plotlyjs()) == 1
    return page.replace(get_plotlyjs(), "")


class Text(HTMLParser):
    """The visible words of a page, and the tags that were left open."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "link", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.words.append(data.strip())


def test_the_file_is_written_whole_and_in_a_new_folder(results, tmp_path, page):
    path = write(results, tmp_path / "new" / "report.html")
    assert path.read_text(encoding="utf-8") == page
    assert [entry.name for entry in path.parent.iterdir()] == ["report.html"]


def test_nothing_is_loaded_from_anywhere(own):
    assert not re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?(?:https?:)?//""", own)
    assert "@import" not in own
    assert "http://" not in own
    assert "https://" not in own
    assert "default-src 'none'" in own


def test_the_page_is_light_besides_the_script_that_draws(own):
    assert len(own.encode()) < 600_000


def test_the_same_study_gives_the_same_page(results, page):
    assert render(results) == page


def test_tags_are_closed_and_every_figure_can_be_read(own):
    assert Text(own).open == []
    figures = figures_of(own)
    assert len(figures) == 1 + 3 * 4 + 2
    for figure in figures:
        assert figure["data"]
        assert figure["layout"]["meta"]["label"]


def figures_of(page):
    pattern = r'<div class="plot".*?<script type="application/json">(.*?)</script>'
    return [json.loads(text) for text in re.findall(pattern, page, re.DOTALL)]


def test_every_section_that_a_reader_needs_is_there(results, own):
    words = " ".join(Text(own).words)
    for title in ("Overview", "Learning curves", "Learning rates", "Untuned and tuned",
                  "Time and memory of the implementation", "Paths in two dimensions", "Protocol",
                  "Environment", "Run it again", "Rosenbrock", "gradlab bench synthetic",
                  results.config_hash):  # fmt: skip
        assert title in words
    for info in results.problems:
        assert info.title in words
        assert info.target_origin in words
    for label in results.optimizers:
        assert label in words


def test_every_seed_of_every_trial_is_in_the_page(results, page):
    tables = re.findall(r"<details><summary>Every trial.*?</details>", page, re.DOTALL)
    assert len(tables) == 3
    cells = sum(table.count("<td>") + table.count("<td ") for table in tables)
    assert cells == 3 * 7 * (7 + 1) * (2 + 3)
    diverged = sum(trial.status == "diverged" for trial in results.trials)
    assert sum(table.count("diverged at") for table in tables) == diverged > 0


def test_a_best_rate_at_the_edge_is_called_invalid(page):
    assert "invalid: the best learning rate is the highest of the sweep" in page


def test_every_point_of_the_protocol_has_its_reason(page):
    assert page.count("✓ met") + page.count("✗ not met") == 12
    assert "lion on digits_mlp" in page


def test_the_config_is_shown_as_it_was_resolved(results, page):
    text = re.search(r"Resolved config</summary><pre>(.*?)</pre>", page, re.DOTALL)
    assert text is not None
    assert json.loads(text[1].replace("&#34;", '"')) == results.config


def test_a_label_cannot_become_markup():
    bad = "<b>adam & co</b>"
    trials = sweep_of([[[1.0, 0.4]] * 3] * 3, optimizer=bad)
    page = render(results_of(trials, optimizers=(bad, "b"), baseline=bad))
    assert bad not in page
    assert "&lt;b&gt;adam &amp; co&lt;/b&gt;" in page


@pytest.mark.parametrize(
    "change",
    [
        {"trials": ()},
        {"timings": (), "costs": ()},
        {"environment": {}, "command": "", "config": {}, "config_hash": ""},
        {"trajectories": ()},
        {"incomplete": ("3: not timed", "the machine was busy")},
    ],
)
def test_an_unfinished_or_partial_study_has_a_report_too(results, change):
    page = render(dataclasses.replace(results, **change))
    assert Text(page).open == []
    assert all(line.split(": ")[-1] in page for line in change.get("incomplete", ()))


def test_waiting_running_and_diverged_trials_are_shown_as_such():
    trials = [
        *sweep_of([[[1.0, math.nan]] * 3] * 3),
        Trial("p", "b", 0, 0.1, 0, True, "waiting"),
        Trial("p", "b", 0, 0.1, 1, True, "running"),
    ]
    page = render(results_of(trials))
    assert "2 of 14 trials have not finished" in page
    for word in ("diverged", "waiting", "running"):
        assert word in page


@pytest.mark.browser
@needs_browser
def test_a_browser_draws_the_charts_without_errors_or_requests(results, tmp_path):
    document, errors, requests = browse(write(results, tmp_path / "report.html"), tmp_path)
    assert 'data-ready="yes"' in document
    # Each figure is two layers of plotly's, and a third where it has hover labels.
    figures = len(figures_of(render(results)))
    assert len(re.findall(r'<svg[^>]*class="main-svg"', document)) >= 2 * figures
    for place in range(len(results.optimizers)):
        assert len(re.findall(rf'class="trace scatter traces{place}-', document)) > 20
    assert document.count('class="contourlevel') > 10
    assert errors == []
    assert requests == []


@pytest.mark.browser
@needs_browser
def test_the_browser_check_notices_an_error_and_a_request(tmp_path):
    path = tmp_path / "bad.html"
    path.write_text('<img src="http://example.invalid/x.png"><script>missing()</script>')
    _, errors, requests = browse(path, tmp_path)
    assert "missing is not defined" in errors[0]
    assert requests == ["http://example.invalid/x.png"]
