"""Two train workers never share a GPU, on the two logical GPUs of a Ray of its own."""

import pytest

from raynef.cluster import session
from raynef.cluster.fit import Spread
from raynef.cluster.fit_on_ray import worker_resources


def test_shares_of_a_whole_gpu(monkeypatch):
    monkeypatch.setattr(session, "resources_of", lambda role: {})
    assert session.worker_gpu_share(streams=False) == 1
    share = session.worker_gpu_share(streams=True)
    assert share > 0.5  # no two workers fit
    assert share + session.ACTOR_SHARE == 1
    # Nodes that declare themselves for features leave the workers' GPUs whole.
    monkeypatch.setattr(session, "resources_of", lambda role: {role: 1.0})
    assert session.worker_gpu_share(streams=True) == 1


@pytest.mark.parametrize("share", [0.5, 0.25, 0.0, 1.5])
def test_a_share_that_lets_two_ranks_onto_one_gpu_is_refused(monkeypatch, share):
    monkeypatch.setattr("raynef.cluster.fit_on_ray.resources_of", lambda role: {})
    with pytest.raises(ValueError, match=r"gpu_share must be in \(0\.5, 1\]"):
        worker_resources(Spread(2, share, 0, "train.num_workers"), on_gpu=True)
    assert worker_resources(Spread(2, share, 0, "f"), on_gpu=False) == {"CPU": 1}
