"""A segment is on disk whole or not at all."""

import ml_dtypes
import numpy as np
import pytest

from gradlab.bench import segments
from gradlab.bench.curves import by_trial, diverged_at, final_values
from gradlab.bench.errors import StudyError

STATE = {
    "weights": np.array([[0.1, -0.0], [np.nan, np.inf]], np.float32),
    "low": np.array([1.5, -2.0], ml_dtypes.bfloat16),
    "count": np.array(7, np.int32),
    "key": np.array([1, 2**32 - 1], np.uint32),
    "nothing": np.zeros((0, 3), np.float32),
}


def _curves(first=0, losses=((1.0, 0.5), (2.0, np.nan)), values=None):
    return segments.curves_table([4, 5], first, np.array(losses), values or {})


def test_state_comes_back_bit_for_bit(tmp_path):
    segments.write(tmp_path, 0, _curves(), {}, STATE)
    back = segments.read_state(tmp_path, 0, STATE)
    for name, leaf in STATE.items():
        assert back[name].dtype == leaf.dtype
        assert back[name].shape == leaf.shape
        assert back[name].tobytes() == leaf.tobytes()


def test_state_that_does_not_fit_is_refused(tmp_path):
    segments.write(tmp_path, 0, _curves(), {}, STATE)
    with pytest.raises(StudyError, match="another version"):
        segments.read_state(tmp_path, 0, {**STATE, "count": np.zeros(2, np.int32)})


def test_what_a_killed_process_left_does_not_count_and_is_removed(tmp_path):
    segments.write(tmp_path, 0, _curves(), {}, STATE)
    half = tmp_path / "segment-00001.123.writing"
    half.mkdir()
    (half / "curves.parquet").write_bytes(b"PAR1")
    assert segments.finished(tmp_path) == 1
    segments.clean(tmp_path)
    assert not half.exists()
    assert segments.finished(tmp_path) == 1


def test_a_finished_segment_is_never_replaced(tmp_path):
    segments.write(tmp_path, 0, _curves(), {"who": "first"}, STATE)
    segments.write(tmp_path, 0, _curves(), {"who": "second"}, STATE)
    assert segments.read_curves(tmp_path)[1] == [{"who": "first"}]
    assert [path.name for path in tmp_path.iterdir()] == ["segment-00000"]


def test_only_the_last_state_is_kept(tmp_path):
    segments.write(tmp_path, 0, _curves(), {}, STATE)
    segments.write(tmp_path, 1, _curves(2), {}, STATE)
    assert [path.parent.name for path in tmp_path.rglob("state.npz")] == ["segment-00001"]
    segments.write(tmp_path, 2, _curves(4), {}, None)
    assert not list(tmp_path.rglob("state.npz"))
    assert segments.finished(tmp_path) == 3


def test_curves_of_all_segments_are_one_table_by_trial_and_step(tmp_path):
    first = {0: np.array([3.0, 4.0]), 2: np.array([2.0, np.nan])}
    segments.write(tmp_path, 0, _curves(0, values=first), {"n": 0}, None)
    later = {4: np.array([1.0, np.inf])}
    segments.write(tmp_path, 1, _curves(2, ((0.4, 0.3), (np.nan, np.nan)), later), {"n": 1}, None)
    table, facts = segments.read_curves(tmp_path)
    assert facts == [{"n": 0}, {"n": 1}]
    (steps, losses), (_, other) = by_trial(table, "loss", [4, 5])
    assert steps.tolist() == [0, 1, 2, 3]
    assert losses == pytest.approx([1.0, 0.5, 0.4, 0.3])
    assert np.isnan(other).tolist() == [False, True, True, True]
    (steps, values), _ = by_trial(table, "value", [4, 5])
    assert (steps.tolist(), values.tolist()) == ([0, 2, 4], [3.0, 2.0, 1.0])
    assert diverged_at(table, [4, 5]) == [None, 1]
    assert final_values(table, [4, 5]).tolist() == [1.0, np.inf]


def test_a_group_that_has_not_begun_has_no_curves(tmp_path):
    assert segments.read_curves(tmp_path / "none") == (None, [])


def test_a_file_is_written_whole(tmp_path):
    path = tmp_path / "deep" / "file.json"
    segments.write_atomically(path, "one")
    segments.write_atomically(path, "two")
    assert path.read_text() == "two"
    assert list(path.parent.iterdir()) == [path]
