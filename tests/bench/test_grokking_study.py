"""The shipped grokking study, shrunken: what is understood early, and what late."""

import math

import pytest

from gradlab.bench import markdown
from gradlab.bench.library import find
from gradlab.bench.rows import tuned_row
from gradlab.bench.runner import run
from gradlab.bench.store import load_results
from gradlab.bench.study import read_study, shrink


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    directory = tmp_path_factory.mktemp("grokking")
    run(shrink(read_study(find("grokking"))), directory, probe=False)
    return load_results(directory)


def test_gradients_orthogonal_to_the_weights_generalise_before_weight_decay_does(results):
    orthogonal, decay = (
        tuned_row(results, "modular_addition", name)
        for name in ("orthogonal_to_params, adam", "adamw")
    )
    assert orthogonal.steps <= 1200
    assert math.isinf(decay.steps)


def test_the_training_pairs_are_memorised_long_before(results):
    for trial in results.select("modular_addition", "adamw"):
        assert trial.train_losses[-1] < 0.1
        assert trial.values[-1] > 0.2


def test_the_table_says_what_was_not_reached_and_what_others_published(results):
    page = markdown.page(results)
    lines = {line.split(" | ")[0].strip("| "): line for line in page.splitlines() if "|" in line}
    assert lines["adamw"].count("∞") == 2
    assert lines["adamw"].endswith("|  |  |")
    assert "(Prieto et al. 2025; no factor given) |" in lines["orthogonal_to_params, adam"]
    assert "| ∞ | at once" in lines["orthogonal_to_params, adam"]
