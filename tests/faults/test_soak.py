"""A short soak: a few kills, the right end."""

import pytest

from tests.faults.soak import soak


@pytest.mark.slow
def test_two_kills_and_the_same_result(tmp_path):
    found = soak(tmp_path, kills=2, seed=1)
    assert found["kills"] == 2
