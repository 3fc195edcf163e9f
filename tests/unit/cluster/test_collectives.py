"""One global batch on 2 and 3 gloo processes: the loss and the gradient of one process."""

import dataclasses
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from raynef.assign.teachers import Teachers
from raynef.cluster.collectives import Distributed
from raynef.config.recipe import Eigen, Graph, Recipe, Train
from raynef.config.recipe import Teachers as TeachersConfig
from raynef.core.collectives import SingleProcess
from raynef.eigen import eigenfunction_objective
from raynef.features.extract import Features
from raynef.graph import build_kernel
from raynef.models.training import Trainer
from tests.known import present

IMAGES, SIDE, DIM, CLUSTERS, CLASSES = 5, 6, 8, 10, 4
RECIPE = Recipe(
    graph=Graph(num_neighbors=20),
    eigen=Eigen(num_eigenfunctions=CLUSTERS),
    train=Train(batch_size=IMAGES, epochs=1, precision="float32"),
)
LEAKY = dataclasses.replace(RECIPE, train=dataclasses.replace(RECIPE.train, leak_labels=True))
LEARNED = dataclasses.replace(
    RECIPE,
    eigen=dataclasses.replace(RECIPE.eigen, objective="clusterings", network="convolution"),
    teachers=TeachersConfig(contexts=(0.3, 0.9)),
)
SLICES = {2: [[3, 2], [1, 4]], 3: [[2, 2, 1], [3, 1, 1]]}  # images a rank holds


def global_batch():
    generator = torch.Generator().manual_seed(3)
    taps = torch.randn((IMAGES, 3, SIDE * SIDE, DIM), generator=generator)
    thumbnails = torch.rand((IMAGES, SIDE, SIDE, 3), generator=generator)
    valid = torch.ones((IMAGES, SIDE, SIDE), dtype=torch.bool)
    valid[0, 4:] = False
    valid[3, :, :2] = False
    psi = torch.softmax(
        2 * torch.randn((IMAGES, SIDE * SIDE, CLUSTERS), generator=generator), dim=-1
    )
    return Features(taps, thumbnails, valid), psi


def global_labels():
    """Shares of the classes in each patch; one image has no label at all, some patches a part."""
    generator = torch.Generator().manual_seed(4)
    labels = torch.rand((IMAGES, SIDE * SIDE, CLASSES), generator=generator) / CLASSES
    labels[2] = 0
    return labels


def results(first, stop, collectives):
    """Terms, gradient of ψ's outputs, and gradient of ψ's weights, on images first … stop."""
    batch, psi = global_batch()
    part = Features(*(value[first:stop] for value in vars(batch).values()))
    rows = part.valid.flatten(1)
    kernel = build_kernel(
        part.taps[:, -1][rows],
        part.thumbnails,
        num_neighbors=20,
        alpha=0.3,
        valid=part.valid,
        collectives=collectives,
    )
    leaf = psi[first:stop][rows].clone().requires_grad_()
    terms = eigenfunction_objective(leaf, kernel, beta_eff=0.3, collectives=collectives)
    terms.loss.backward()
    trainer = Trainer(RECIPE, in_dim=3 * DIM, num_steps=1, collectives=collectives)
    metrics = trainer.step(part, list(range(first, stop)), epoch=0)
    gradients = torch.cat([present(p.grad).flatten() for p in trainer.psi.parameters()])
    leaky = Trainer(
        LEAKY, in_dim=3 * DIM, num_steps=1, collectives=collectives, num_classes=CLASSES
    )
    labels = global_labels()[first:stop]
    leaked = leaky.step(part, list(range(first, stop)), epoch=0, labels=labels)
    leaked_gradients = torch.cat([present(p.grad).flatten() for p in leaky._parameters()])
    draws = torch.Generator().manual_seed(5)
    centers = torch.randn((2, CLUSTERS, 2 * DIM), generator=draws)
    teachers = Teachers(centers, LEARNED.teachers.contexts, LEARNED.teachers.temperature)
    learner = Trainer(
        LEARNED, in_dim=3 * DIM, num_steps=1, collectives=collectives, teachers=teachers
    )
    learned = learner.step(part, list(range(first, stop)), epoch=0)
    learned_gradients = torch.cat([present(p.grad).flatten() for p in learner.psi.parameters()])
    return {
        "terms": torch.stack([terms.loss.detach(), terms.trace, terms.penalty]),
        "norms": terms.column_norms,
        "psi_gradient": leaf.grad,
        "weight_gradient": gradients,
        "metrics": metrics.as_dict(),
        "leaked_gradient": leaked_gradients,
        "leaked": leaked.as_dict(),
        "learned_gradient": learned_gradients,
        "learned": learned.as_dict(),
    }


def run_rank(rank, world_size, folder):
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=world_size
    )
    for case, counts in enumerate(SLICES[world_size]):
        first = sum(counts[:rank])
        found = results(first, first + counts[rank], Distributed())
        torch.save(found, Path(folder) / f"case{case}-rank{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def alone():
    return results(0, IMAGES, SingleProcess())


@pytest.mark.parametrize("world_size", [pytest.param(2, marks=pytest.mark.slow), 3])
def test_loss_and_gradient_are_those_of_one_process(world_size, alone, tmp_path):
    mp.start_processes(
        run_rank, args=(world_size, str(tmp_path)), nprocs=world_size, start_method="forkserver"
    )
    for case in range(len(SLICES[world_size])):
        ranks = [torch.load(tmp_path / f"case{case}-rank{r}.pt") for r in range(world_size)]
        gathered = torch.cat([found["psi_gradient"] for found in ranks])
        assert_close(gathered, alone["psi_gradient"])
        for found in ranks:
            assert_close(found["terms"], alone["terms"])
            assert_close(found["norms"], alone["norms"])
            assert_close(found["weight_gradient"], alone["weight_gradient"])
            assert_close(found["leaked_gradient"], alone["leaked_gradient"])
            assert_close(found["learned_gradient"], alone["learned_gradient"])
            assert found["learned"] == pytest.approx(alone["learned"], rel=1e-5)
            assert found["leaked"] == pytest.approx(alone["leaked"], rel=1e-5)
            for name, value in alone["metrics"].items():
                assert found["metrics"][name] == pytest.approx(value, rel=1e-5), name


def test_a_world_of_one_is_the_same_code(alone, tmp_path):
    dist.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/rendezvous", rank=0, world_size=1
    )
    try:
        found = results(0, IMAGES, Distributed())
    finally:
        dist.destroy_process_group()
    assert torch.equal(found["psi_gradient"], alone["psi_gradient"])
    assert torch.equal(found["weight_gradient"], alone["weight_gradient"])


def test_a_slice_cannot_pass_for_the_whole(alone):
    batch, _ = global_batch()
    kernel = build_kernel(
        batch.taps[:, -1].flatten(0, 1), batch.thumbnails, num_neighbors=4, alpha=0.3
    )
    with pytest.raises(ValueError, match="whole batch"):
        dataclasses.replace(kernel, counts=[90, 90]).to_csr()


def assert_close(found, expected):
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()
