"""Fixtures of any test: a tiny random backbone, a tiny sample, its recipe and its eigenpairs."""

import dataclasses
import multiprocessing
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import timm
import torch
from PIL import Image

from raynef.cluster.place import this_process
from raynef.config.recipe import (
    Backbone,
    Data,
    Eigen,
    Evaluate,
    Graph,
    Recipe,
    Spectral,
    Train,
)
from raynef.demo.scenes import write_scenes
from raynef.eigen.psi import AttentionPsi
from raynef.features.backbone import NUM_TAPS, load_backbone
from raynef.jobs.spectral.eigen import eigen
from raynef.jobs.train import train
from raynef.models.segmenter import Mapping, Segmenter

FRESH = multiprocessing.get_context("forkserver")
"""Processes that have done nothing, but have loaded what takes seconds to load."""
FRESH.set_forkserver_preload(["raynef.jobs.train"])


@pytest.fixture
def without_ray(one_thread) -> Iterator[None]:
    """Work in this process: for what is the same on Ray, which takes seconds more to start."""
    with this_process():
        yield


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory) -> Path:
    """ViT-Ti with random weights, in a file, as a user's own."""
    torch.manual_seed(0)
    model = timm.create_model("vit_tiny_patch16_224", num_classes=0)
    path = tmp_path_factory.mktemp("weights") / "random.safetensors"
    safetensors.torch.save_file(model.state_dict(), path)
    return path


@pytest.fixture(scope="session")
def sample(tmp_path_factory) -> Path:
    """Ten training and four validation scenes of 96×128 pixels, with labels."""
    return shrink(write_scenes(tmp_path_factory.mktemp("sample"), num_train=10, num_val=4))


def shrink(root: Path) -> Path:
    for path in [*(root / "images").iterdir(), *(root / "labels").iterdir()]:
        with Image.open(path) as image:
            small = image.resize((128, 96), Image.Resampling.NEAREST)
        small.save(path)
    return root


@pytest.fixture(scope="session")
def recipe(sample: Path, tiny_weights: Path) -> Recipe:
    """Two short epochs of two steps."""
    return Recipe(
        data=Data(root=str(sample), short_side=64, crop=64, scale=(0.8, 1.5), num_views=2),
        # Here and for ψ, the same on any processor.
        backbone=Backbone(
            name="vit_tiny_patch16_224", weights=str(tiny_weights), precision="float32"
        ),
        graph=Graph(num_neighbors=12),
        eigen=Eigen(num_eigenfunctions=12),
        train=Train(batch_size=5, epochs=2, precision="float32"),
        evaluate=Evaluate(short_side=64, crop=64),
    )


@pytest.fixture(scope="module")
def untrained_run(recipe: Recipe, tmp_path_factory) -> Callable[..., Path]:
    """Makes a run's folder that holds a segmenter alone, with a random ψ."""

    def make(num_clusters: int = 12, mapping: Mapping | None = None, short_side: int = 64) -> Path:
        folder = tmp_path_factory.mktemp("untrained") / "run"
        backbone = load_backbone(recipe.backbone)
        psi = AttentionPsi(NUM_TAPS * backbone.dim, num_clusters, num_blocks=1).plain()
        config = recipe.backbone
        Segmenter(
            backbone, psi, backbone_config=config, short_side=short_side, mapping=mapping
        ).save(folder / "segmenter")
        return folder

    return make


def change(recipe: Recipe, **sections) -> Recipe:
    """A recipe with some fields of some sections replaced: change(r, train={"epochs": 3})."""
    parts = {
        name: dataclasses.replace(getattr(recipe, name), **fields)
        for name, fields in sections.items()
    }
    return dataclasses.replace(recipe, **parts)


@pytest.fixture(scope="session")
def run_here(recipe: Recipe, tmp_path_factory) -> tuple[Path, dict]:
    """A run that was made without Ray, and its result."""
    out = tmp_path_factory.mktemp("runs") / "here"
    return out, in_fresh_process(train, recipe, out)


def in_fresh_process(job: Callable[..., Any], *arguments: Any) -> Any:
    """A job without Ray, in a process that has done nothing before.

    To the bit two runs are alike in such processes alone: a matrix product may add in another order
    where its memory is aligned otherwise.
    """
    with ProcessPoolExecutor(1, mp_context=FRESH) as pool:
        return pool.submit(_without_ray, job, arguments).result()


def _without_ray(job: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    torch.set_num_threads(1)
    with this_process():
        return job(*arguments)


@pytest.fixture
def copy_of_sample(sample: Path, tmp_path: Path) -> Path:
    """A sample that a test may spoil."""
    return Path(shutil.copytree(sample, tmp_path / "copy"))


def scramble(root: Path) -> None:
    """Put noise in the place of all labels of a sample."""
    draws = np.random.default_rng(0)
    for path in (root / "labels").iterdir():
        with Image.open(path) as label:
            size = label.size
        noise = draws.integers(0, 10, (size[1], size[0]), dtype=np.uint8)
        Image.fromarray(noise).save(path)


@pytest.fixture(scope="module")
def whole(recipe):
    """The recipe for whole images: keys of a random ViT, six eigenvectors."""
    few = Spectral(num_eigenvectors=6, num_segments=4, num_clusters=3)
    return dataclasses.replace(recipe, spectral=few)


@pytest.fixture(scope="module")
def store(whole, tmp_path_factory):
    """A STORE of the sample, made in this process."""
    out = tmp_path_factory.mktemp("spectral") / "store"
    with this_process():
        result = eigen(whole, out)
    assert (result["num_images"], result["not_converged"], result["skipped"]) == (10, 0, {})
    return out
