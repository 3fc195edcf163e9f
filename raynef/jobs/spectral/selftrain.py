"""``raynef spectral selftrain``: a segmentation network trained on a STORE's own segments.

STORE/selftrain/selftrain.json      settings, present from the first step on
STORE/selftrain/checkpoints/        the last states
STORE/selftrain/network.safetensors, config.json    the product
STORE/selftrain.json                the result
"""

import dataclasses
import os
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from raynef.cluster.fit import Spread, fit
from raynef.cluster.session import feature_actors, ray_session
from raynef.config.recipe import Recipe, fingerprint
from raynef.core.errors import BadImageError, UserError
from raynef.images.fitted import Fitted, to_whole_image
from raynef.io.files import read_json, write_json
from raynef.io.holds import holds
from raynef.jobs.progress_reporter import ProgressReporter
from raynef.jobs.spectral.eigen import Solved, open_solved
from raynef.jobs.spectral.features import read_fitted
from raynef.jobs.spectral.labels import LabelFolder, label_folder
from raynef.jobs.spectral.selftrain_loop import (
    Example,
    load_network,
    new_network,
    save_network,
    selftrain_loop,
)
from raynef.jobs.spectral.walk import units_of, walk
from raynef.work.sources import output_names
from raynef.work.units import Carried, ImageUnit

_BATCH = 8  # images of a unit


@holds("store", "on")
def selftrain(
    store: str | Path,
    recipe: Recipe,
    *,
    on: str | Path | None = None,
    method: str = "spectral",
    address: str | None = None,
) -> dict[str, Any]:
    """Train a network on the labels that ``raynef spectral semantic`` gave a STORE's images.

    No label of people's is opened before the network is done; then it is scored. The same call
    goes on where it was interrupted.

    Args:
        store: whose ``semantic-METHOD`` folder holds the pseudo-labels.
        recipe: its backbone and ``selftrain`` sections count.
        on: another STORE, whose images are labeled and scored; by default its own.
        method: of ``semantic`` that made the pseudo-labels.
        address: of a Ray cluster.

    Returns:
        mIoU and accuracy, Hungarian and by majority; None where there are no labels.

    Raises:
        UserError: no pseudo-labels, or a mistake in the recipe.
        NonFiniteLossError: with its step.
    """
    started = time.monotonic()
    solved = open_solved(store)
    shown = solved if on is None else open_solved(on)
    examples, num_labels = pseudo_labeled(solved, method)
    settings = recipe.selftrain
    probe = new_network(recipe.backbone, num_labels, settings)
    if settings.crop % probe.stride:
        raise UserError(
            f"selftrain.crop must be a multiple of the backbone's {probe.stride} pixels, got "
            f"{settings.crop}"
        )
    folder = solved.folder / "selftrain"
    _bind(folder, recipe, examples, num_labels)
    config = {
        "backbone": dataclasses.asdict(recipe.backbone),
        "settings": dataclasses.asdict(settings),
        "examples": [dataclasses.astuple(example) for example in examples],
        "num_labels": num_labels,
        "threads": max(1, (os.cpu_count() or 1) // settings.num_workers),
    }
    alone = len(examples) if settings.num_workers == 1 else None
    with ray_session(address, min_cpus=settings.num_workers + 1, images=alone, on_gpu=True):
        if not (folder / "config.json").is_file():
            state = fit(
                selftrain_loop,
                config,
                folder,
                tell=ProgressReporter("selftrain", settings.steps, settings.batch_size).hear,
                spread=Spread(
                    workers=settings.num_workers,
                    gpu_share=1,
                    max_failures=settings.max_failures,
                    field="selftrain.num_workers",
                ),
            )
            save_network(folder, recipe.backbone, num_labels, state)
        result = {
            "store": str(shown.folder),
            "network": str(folder),
            "num_images": len(shown.pairs.images()),
            "num_examples": len(examples),
            "num_clusters": num_labels - 1,
            "steps": settings.steps,
            **_label(shown, folder, num_labels, recipe),
        }
    result["seconds"] = round(time.monotonic() - started, 2)
    write_json(shown.folder / "selftrain.json", result)
    return result


def pseudo_labeled(solved: Solved, method: str) -> tuple[list[Example], int]:
    """The images of a STORE with their pseudo-labels, and how many labels there may be.

    Raises UserError where there are none, or not for every image.
    """
    folder = solved.folder / f"semantic-{method}"
    centers = solved.folder / f"semantic-{method}.npz"
    names = output_names(solved.images.files)
    examples = [
        Example(solved.images.files[index].path, str(folder / names[index]))
        for index in solved.pairs.images()
    ]
    missing = [example.label for example in examples if not Path(example.label).is_file()]
    if missing or not centers.is_file():
        raise UserError(
            f"{solved.folder} has no labels of its own for {len(missing)} of {len(examples)} "
            f"images; make them with raynef spectral semantic {solved.folder}"
        )
    with np.load(centers) as found:
        count = len(found["centroids"])
    return examples, count + (1 if method == "spectral" else 0)


def _bind(folder: Path, recipe: Recipe, examples: list[Example], num_labels: int) -> None:
    """Bind the folder to what is trained there. Raises UserError where it is something else."""
    labels = [np.asarray(Image.open(example.label)).tobytes() for example in examples]
    record = {
        "backbone": dataclasses.asdict(recipe.backbone),
        "selftrain": dataclasses.asdict(recipe.selftrain),
        "num_labels": num_labels,
        "pseudo_labels": fingerprint([fingerprint(label.hex()) for label in labels]),
    }
    file = folder / "selftrain.json"
    if file.is_file():
        there = read_json(file)
        differing = [name for name, value in record.items() if there.get(name) != value]
        if differing:
            raise UserError(
                f"{folder} holds a training with other {', '.join(differing)}; delete it to train "
                "anew"
            )
    else:
        write_json(file, record)


def _label(shown: Solved, network: Path, num_labels: int, recipe: Recipe) -> dict[str, Any]:
    """Label every image by a network, write the labels, and score them where there are others."""
    out = label_folder(shown, shown.folder / "selftrain-labels", num_labels)
    stride, max_side = load_network(network).stride, recipe.spectral.max_side
    tables = walk(
        "label",
        units_of(shown, _BATCH),
        prepare=partial(read_fitted, stride=stride, max_side=max_side),
        actor=LabelActor,
        actor_kwargs={"folder": str(network)},
        actors=feature_actors(),
        finish=partial(write_unit, out=out),
        bounded=True,
    )
    criterion = recipe.spectral.hungarian
    scores = out.scores(shown, tables, criterion)
    return {"labels": str(out.path), "hungarian": criterion, **scores}


class LabelActor:
    """Actor: the network; turns the images of a unit into labels at their own size."""

    def __init__(self, folder: str, device: str) -> None:
        self.network, self.device = load_network(folder).to(device), device

    @torch.inference_mode()
    def __call__(self, read: Carried[ImageUnit, Fitted]) -> Carried[ImageUnit, np.ndarray]:
        """Fitted images to labels, uint16 [H, W] each."""
        for name, reason in read.skipped.items():
            raise BadImageError(f"{name}: {reason}")
        labels = {}
        for index, (pixels, frame) in read.values.items():
            images = torch.tensor(pixels, device=self.device).permute(2, 0, 1)[None] / 255
            found = self.network(images).argmax(dim=1)[0].cpu().numpy()
            labels[index] = to_whole_image(found, frame).astype(np.uint16)
        return Carried(read.unit, labels)


def write_unit(labeled: Carried[ImageUnit, np.ndarray], *, out: LabelFolder) -> np.ndarray:
    """Task: write the labels of a unit. Returns their table of counts."""
    return out.write(labeled.unit, labeled.values.values())
