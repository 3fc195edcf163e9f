"""Two train workers never share a GPU, on the two logical GPUs of a Ray of its own."""

import json
import subprocess
import sys
import textwrap

import pytest

# What ``fit`` reserves for each worker, with another backend: NCCL needs GPUs that are there.
PLACED = """
import json, sys
import ray, ray.train
from ray.train import RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer
from raynef.cluster.fit import Spread
from raynef.cluster.fit_on_ray import worker_resources
from raynef.cluster.session import feature_actors, worker_gpu_share
from raynef.cluster.stream import stream

class Actor:
    def __init__(self, device):
        self.device = device
    def __call__(self, unit):
        return {**unit, "device": self.device, "gpus": ray.get_gpu_ids()}

def loop(config):
    import torch.distributed as dist
    rank, own = ray.train.get_context().get_world_rank(), ray.get_gpu_ids()
    actors = feature_actors(workers=config["workers"])
    found = list(stream([{"rank": rank}], prepare=dict, actor=Actor, actors=actors))
    everyone = [None] * config["workers"]
    if config["workers"] > 1:
        dist.all_gather_object(everyone, [own, found])
    else:
        everyone = [[own, found]]
    if rank == 0:
        with open(config["out"], "w") as file:
            json.dump(everyone, file)

if __name__ == "__main__":
    gpus, workers, out = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    ray.init(num_cpus=8, num_gpus=gpus, include_dashboard=False, log_to_driver=False)
    spread = Spread(workers, worker_gpu_share(streams=True), 0, "train.num_workers")
    resources = worker_resources(spread, on_gpu=True)
    scaling = ScalingConfig(num_workers=workers, use_gpu=True, resources_per_worker=resources)
    TorchTrainer(
        loop, train_loop_config={"workers": workers, "out": out}, scaling_config=scaling,
        torch_config=TorchConfig(backend="gloo"),
        run_config=RunConfig(name="placed", storage_path=out + ".runs"),
    ).fit()
"""


@pytest.mark.parametrize(("gpus", "workers"), [(2, 2), (1, 1)])
def test_streaming_workers_have_a_gpu_each_and_room_for_their_actors(tmp_path, gpus, workers):
    script, out = tmp_path / "placed.py", tmp_path / "placed.json"
    script.write_text(textwrap.dedent(PLACED))
    command = [sys.executable, str(script), str(gpus), str(workers), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert out.is_file(), done.stderr[-2000:]
    placed = json.loads(out.read_text())
    assert len(placed) == workers
    ranks = [own for own, _ in placed]
    assert all(len(own) == 1 for own in ranks)
    assert len({own[0] for own in ranks}) == workers  # never two ranks on one GPU
    actors = [actor["gpus"] for _, found in placed for actor in found]
    assert sorted(actors) == sorted(ranks)  # each GPU holds a worker and a feature actor
    assert {actor["device"] for _, found in placed for actor in found} == {"cuda"}
