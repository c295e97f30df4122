"""A unit of work has one living owner at a time."""

import os
import subprocess
import sys
import threading
import time

import pytest

from gradlab.bench.claims import Claims, process_identity


@pytest.fixture
def path(tmp_path):
    return tmp_path / "claims.sqlite"


def _claim_and_die(path):
    """Has another process claim `unit` and end without giving it back."""
    code = (
        "import sys; from pathlib import Path; from gradlab.bench.claims import Claims; "
        "assert Claims(Path(sys.argv[1]), owner='dead').acquire('unit')"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], timeout=60, check=True)


def test_of_many_that_want_a_unit_exactly_one_gets_it(path):
    owners = [Claims(path) for _ in range(8)]
    barrier, got = threading.Barrier(8), []

    def want(claims):
        barrier.wait()
        got.append(claims.acquire("unit"))

    threads = [threading.Thread(target=want, args=(claims,)) for claims in owners]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == [False] * 7 + [True]


def test_an_owner_keeps_its_claim_and_others_are_refused(path):
    mine, other = Claims(path), Claims(path)
    assert mine.acquire("unit")
    assert mine.acquire("unit")
    assert not other.acquire("unit")
    assert other.acquire("another unit")
    assert mine.holds("unit")
    assert not other.holds("unit")


def test_the_claim_of_a_process_that_is_gone_is_taken_over_at_once(path):
    _claim_and_die(path)
    mine = Claims(path)
    assert mine.acquire("unit")
    assert not Claims(path, owner="dead").holds("unit")


def test_a_claim_whose_heart_stopped_is_taken_over(path):
    stuck, mine = Claims(path, bound=0.2), Claims(path, bound=0.2)
    assert stuck.acquire("unit")
    assert not mine.acquire("unit")
    time.sleep(0.3)
    assert mine.acquire("unit")
    assert not stuck.holds("unit")


def test_a_beating_claim_outlives_its_bound(path):
    busy, other = Claims(path, interval=0.05, bound=0.5), Claims(path, bound=0.5)
    with busy.beating():
        assert busy.acquire("unit")
        time.sleep(0.8)
        assert not other.acquire("unit")
    time.sleep(0.6)
    assert other.acquire("unit")


def test_what_is_done_stays_done(path):
    mine, other = Claims(path, bound=0.0), Claims(path, bound=0.0)
    mine.acquire("unit")
    mine.finish("unit")
    time.sleep(0.01)
    assert not other.acquire("unit")
    assert not mine.acquire("unit")
    assert other.done() == {"unit"}


def test_a_lost_claim_cannot_be_finished_or_released(path):
    stuck, mine = Claims(path, bound=0.0), Claims(path)
    stuck.acquire("unit")
    time.sleep(0.01)
    taker = Claims(path, bound=0.0)
    assert taker.acquire("unit")
    stuck.finish("unit")
    stuck.release("unit")
    assert mine.done() == frozenset()
    assert not mine.acquire("unit")
    assert taker.holds("unit")


def test_a_released_unit_is_free(path):
    mine, other = Claims(path), Claims(path)
    mine.acquire("unit")
    mine.release("unit")
    assert other.acquire("unit")


def test_a_process_is_told_from_a_later_one_with_its_number():
    here = process_identity(os.getpid())
    assert here is not None
    assert here.startswith(f"{os.getpid()}:")
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    child.wait()
    assert process_identity(child.pid) is None
