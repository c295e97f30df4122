"""The shipped self-check, shrunken: equals come out equal, and a planted bad rate loses."""

import pytest

from gradlab.bench.library import find
from gradlab.bench.runner import run
from gradlab.bench.selfcheck import self_check
from gradlab.bench.store import load_results
from gradlab.bench.study import read_study, shrink


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    directory = tmp_path_factory.mktemp("selfcheck")
    run(shrink(read_study(find("selfcheck"))), directory, probe=False)
    return load_results(directory)


def test_an_optimizer_shows_no_difference_to_itself_and_a_planted_rate_loses(results):
    checks = self_check(results, twin="sgd again")
    assert len(checks) == 2
    for check in checks:
        assert check.same.verdict == "no difference shown", check
        assert check.planted is not None, check
        assert check.planted.verdict == "worse", check


def test_two_entries_of_one_optimizer_ran_apart_and_agree_to_the_last_bit(results):
    for problem in results.problems:
        one, other = (results.select(problem.name, name) for name in results.optimizers)
        assert len(one) == len(other) == 6 * 3
        assert not {trial.group for trial in one} & {trial.group for trial in other}
        for left, right in zip(one, other, strict=True):
            assert left.train_losses.tobytes() == right.train_losses.tobytes()
            assert left.values.tobytes() == right.values.tobytes()
