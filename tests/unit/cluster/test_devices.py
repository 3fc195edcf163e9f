"""Which device is chosen, and what is then computed where."""

import functools
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from raynef.assign.kmeans import find_centroids
from raynef.cluster import session
from raynef.cluster.devices import Choice, choose_device, device_here, num_cuda
from raynef.cluster.place import this_process
from raynef.cluster.session import (
    FEATURES,
    SMALL,
    SMALL_ON_FEW_CORES,
    feature_actors,
    gpus_for,
    is_small,
)
from raynef.core.devices import beside
from raynef.core.errors import UserError
from raynef.features import precision
from raynef.features.precision import backbone_precision, uses_bfloat16
from raynef.ops.doctor.probes import torch_devices

MPS = torch.device("mps")


@pytest.fixture
def there(monkeypatch):
    """there(cuda=…, mps=…): what torch finds. Ray does not run, and nobody names a device."""
    monkeypatch.delenv("RAYNEF_DEVICE", raising=False)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(session, "_ray_runs", lambda: False)

    def finds(*, cuda=0, mps=False):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", functools.cache(lambda: mps))

    return finds


@pytest.mark.parametrize(
    ("cuda", "mps", "named", "kind", "why"),
    [
        (0, False, None, "cpu", "sees no GPU"),
        (1, False, None, "cuda", "CUDA"),
        (1, True, None, "cuda", "CUDA"),
        (0, True, None, "mps", "Apple"),
        (0, True, "cpu", "cpu", "RAYNEF_DEVICE"),
        (1, True, "mps", "mps", "RAYNEF_DEVICE"),
        (1, False, "cpu", "cpu", "RAYNEF_DEVICE"),
        (0, True, "", "mps", "Apple"),
    ],
)
def test_the_choice(there, monkeypatch, cuda, mps, named, kind, why):
    there(cuda=cuda, mps=mps)
    if named is not None:
        monkeypatch.setenv("RAYNEF_DEVICE", named)
    found = choose_device()
    assert found.kind == kind
    assert why in found.why
    assert device_here() == torch.device(kind)
    assert num_cuda() == (cuda if kind == "cuda" else 0 if named else cuda)
    with this_process():
        pool = feature_actors()
    assert (pool.count, pool.device, pool.num_gpus) == (1, kind, int(kind == "cuda"))
    for native in (False, True):
        monkeypatch.setattr(precision, "has_bfloat16", lambda device, native=native: native)
        half = kind == "cuda" or native
        assert pool.precision() == ("bfloat16" if half else "float32")


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("mps", "RAYNEF_DEVICE is mps, but torch has only cpu here; unset it"),
        ("cuda", "RAYNEF_DEVICE is cuda, but torch has only cpu here; unset it"),
        ("gpu", "RAYNEF_DEVICE must be cpu, cuda or mps, got 'gpu'"),
    ],
)
def test_a_device_that_is_not_there(there, monkeypatch, named, said):
    there()
    monkeypatch.setenv("RAYNEF_DEVICE", named)
    with pytest.raises(UserError) as raised:
        choose_device()
    assert str(raised.value) == said
    assert torch_devices()["device"] is None


def test_ray_shares_out_no_apple_gpu(there, monkeypatch):
    there(mps=True)
    context = SimpleNamespace(get_actor_id=lambda: None)
    ray = SimpleNamespace(is_initialized=lambda: True, get_runtime_context=lambda: context)
    monkeypatch.setitem(sys.modules, "ray", ray)
    assert choose_device().kind == "mps"  # a driver
    context.get_actor_id = lambda: "0a"  # a trial of a sweep, one of several on the machine
    assert choose_device() == Choice(
        "cpu", "Ray does not share out Apple GPUs, and this is one of its processes"
    )


def test_jobs_of_networks_stay_in_the_process_that_has_an_apple_gpu(there, monkeypatch):
    there(mps=True)
    assert is_small(None, SMALL + 1, on_gpu=True)
    assert not is_small(None, SMALL + 1)  # such as a look at a data set
    assert not is_small("10.0.0.1:6379", 1, on_gpu=True)
    monkeypatch.setenv("RAYNEF_DEVICE", "cpu")
    assert not is_small(None, SMALL + 1, on_gpu=True)
    there()
    monkeypatch.delenv("RAYNEF_DEVICE")
    assert not is_small(None, SMALL + 1, on_gpu=True)


@pytest.mark.parametrize(("cores", "few"), [(2, True), (4, True), (5, False), (None, True)])
def test_on_a_few_cores_jobs_of_networks_do_without_ray(there, monkeypatch, cores, few):
    there()
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    assert is_small(None, SMALL + 1, network_bound=True) is few
    assert is_small(None, SMALL_ON_FEW_CORES, network_bound=True) is few
    assert not is_small(None, SMALL_ON_FEW_CORES + 1, network_bound=True)
    assert not is_small(None, SMALL + 1)  # such as a CRF of each image, in processes
    there(cuda=1)
    assert not is_small(None, SMALL + 1, network_bound=True)


def test_no_gpu_is_reserved_where_the_cpu_was_named(there, monkeypatch):
    there(cuda=2)
    node = {"Resources": {"CPU": 4.0, "GPU": 2.0}}
    monkeypatch.setattr(session, "nodes_for", lambda _role: [node])
    assert gpus_for(FEATURES) == 2
    monkeypatch.setenv("RAYNEF_DEVICE", "cpu")
    assert gpus_for(FEATURES) == 0
    assert is_small(None, 1)  # two GPUs would be Ray's
    monkeypatch.setattr("faiss.get_num_gpus", lambda: 1)
    points = np.random.default_rng(0).normal(size=(8, 2))
    assert find_centroids(points, 2, iterations=1, seed=0).shape == (2, 2)


def test_what_is_computed_where(there):
    there(mps=True)
    assert beside(MPS).type == "cpu"
    assert beside(torch.device("cuda", 1)) == torch.device("cuda", 1)
    assert backbone_precision("auto", MPS) == "float32"
    assert not uses_bfloat16("auto", MPS)


@pytest.mark.parametrize(("macos", "half"), [(13, False), (14, True)])
def test_bfloat16_needs_macos_14(monkeypatch, macos, half):
    monkeypatch.setattr(
        torch.backends.mps, "is_macos_or_newer", lambda major, minor: (macos, 0) >= (major, minor)
    )
    assert uses_bfloat16("bfloat16", MPS) is half
