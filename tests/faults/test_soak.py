"""A short soak: a few kills, the right end."""

from tests.faults.soak import soak


def test_two_kills_and_the_same_result(tmp_path):
    found = soak(tmp_path, kills=2, seed=1)
    assert found["kills"] == 2
