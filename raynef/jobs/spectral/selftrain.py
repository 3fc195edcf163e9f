"""``raynef spectral selftrain``: a segmentation network trained on a STORE's own segments.

STORE/selftrain/selftrain.json      settings, present from the first step on
STORE/selftrain/checkpoints/        the last states
STORE/selftrain/network.safetensors, config.json    the product
STORE/selftrain.json                the result
"""

import dataclasses
import logging
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from raynef.cluster.events import Fatal, Resumed, Stepped
from raynef.cluster.fit import Spread, fit
from raynef.cluster.progress import Progress
from raynef.cluster.session import feature_actors, ray_session
from raynef.cluster.stream import Unit, stream
from raynef.cluster.worker import Worker
from raynef.config.recipe import Backbone as BackboneConfig
from raynef.config.recipe import Recipe, SelfTrain, fingerprint
from raynef.core.draws import generator
from raynef.core.errors import NonFiniteLossError, UserError
from raynef.features.backbone import create_model
from raynef.features.weights import load_exactly, load_weights, read_state, resolve_weights
from raynef.images.datasets.imageset import require_labels
from raynef.images.decode import read_image
from raynef.images.fitted import fit as fit_image
from raynef.images.fitted import to_whole_image
from raynef.images.geometry import resize
from raynef.io.checkpoints import State
from raynef.io.files import read_json, write_atomic, write_json
from raynef.io.holds import holds
from raynef.jobs.predict import output_names
from raynef.jobs.progress_reporter import ProgressReporter
from raynef.jobs.spectral.eigen import Solved, open_solved, units_among
from raynef.jobs.spectral.semantic import count_pixels, scores_of, table_for, write_labels
from raynef.models.network import SegmentationNetwork

logger = logging.getLogger("raynef")

_SCALE = (1.0, 2.0)
"""Short side of an image before its crop is cut, in sides of the crop."""


@dataclass(frozen=True)
class Example:
    """One training image: where it and its pseudo-label lie."""

    image: str
    label: str


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
    with ray_session(address, min_cpus=settings.num_workers + 1):
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
            _save(folder, recipe.backbone, num_labels, state)
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

    Raises:
        UserError: there are none, or not for every image.
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


def new_network(
    config: BackboneConfig, num_labels: int, settings: SelfTrain
) -> SegmentationNetwork:
    """A network that starts from the recipe's backbone, on the CPU."""
    path = resolve_weights(config)
    model = create_model(config.name, from_hub=path is None)
    if path is not None:
        load_weights(model, path, name=config.name)
    return SegmentationNetwork(model, num_labels, frozen=settings.frozen, seed=settings.seed)


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


def selftrain_loop(config: dict[str, Any], worker: Worker) -> None:
    """This worker's share of each global batch; a checkpoint every few steps.

    Collectives: one sum of the gradients, with the loss, a step.
    """
    settings = SelfTrain(**config["settings"])
    backbone = BackboneConfig(**config["backbone"])
    network = new_network(backbone, config["num_labels"], settings).to(worker.device).train()
    learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(learning, lr=settings.lr)
    state: State = {"step": 0, "losses": []}
    saved = worker.restore()
    if saved is not None:
        network.load_state_dict(saved.pop("network"))
        optimizer.load_state_dict(saved.pop("optimizer"))
        state.update(saved)
    worker.tell(Resumed(state["step"]))

    def kept() -> State:
        models = {"network": network.state_dict(), "optimizer": optimizer.state_dict()}
        return {**state, **models}

    examples = [Example(*item) for item in config["examples"]]
    rank, world = worker.collectives.rank, worker.collectives.world_size
    for step in range(state["step"], settings.steps):
        slots = range(settings.batch_size)[rank::world]
        images, labels = crops(examples, settings, step, slots)
        rate = settings.lr * (1 - step / settings.steps)
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss = _step(network, learning, images, labels, settings, worker)
        if not np.isfinite(loss):
            worker.tell(Fatal(str(NonFiniteLossError(f"step {step}, rank {rank}"))))
            return
        optimizer.step()
        state["losses"].append(loss)
        state["step"] = step + 1
        worker.tell(Stepped({"loss": loss}))
        if (step + 1) % settings.checkpoint_steps == 0 or step + 1 == settings.steps:
            worker.save(kept(), {"step": step + 1, "loss": loss}, None, step=step + 1)
        else:
            worker.keep(kept, step=step + 1)


def _step(
    network: SegmentationNetwork,
    learning: list[torch.nn.Parameter],
    images: Tensor,
    labels: Tensor,
    settings: SelfTrain,
    worker: Worker,
) -> float:
    """Gradients of the mean cross-entropy over the global batch; the loss."""
    network.zero_grad(set_to_none=True)
    device = worker.device
    with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
        logits = network(images.to(device))
    total = functional.cross_entropy(logits.float(), labels.to(device), reduction="sum")
    loss = total / (settings.batch_size * settings.crop**2)
    loss.backward()
    flat = torch.cat([_gradient(p).flatten() for p in learning] + [loss.detach()[None]])
    flat = worker.collectives.all_reduce_sum(flat)
    start = 0
    for parameter in learning:
        size = parameter.numel()
        parameter.grad = flat[start : start + size].view_as(parameter)
        start += size
    return float(flat[-1])


def _gradient(parameter: torch.nn.Parameter) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


def crops(
    examples: Sequence[Example], settings: SelfTrain, step: int, slots: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """Random crops of a global batch's slots: images [b, 3, S, S] in [0, 1], labels [b, S, S].

    What a slot holds follows from seed, step and slot alone.
    """
    images, labels = [], []
    for slot in slots:
        position = step * settings.batch_size + slot
        epoch, place = divmod(position, len(examples))
        order = generator("selftrain-order", settings.seed, epoch).permutation(len(examples))
        example = examples[order[place]]
        image, label = _crop(example, settings, generator("selftrain", settings.seed, position))
        images.append(image)
        labels.append(label)
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255
    return pixels, torch.from_numpy(np.stack(labels)).long()


def _crop(
    example: Example, settings: SelfTrain, draws: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """A random part of an image and of its pseudo-label, scaled and perhaps flipped."""
    image, side = read_image(example.image), settings.crop
    with Image.open(example.label) as opened:
        label = np.asarray(opened).astype(np.int32)
    scale = draws.uniform(*_SCALE) * side / min(image.shape[:2])
    height, width = (max(side, round(length * scale)) for length in image.shape[:2])
    top, left = draws.integers(height - side + 1), draws.integers(width - side + 1)
    image = resize(image, (height, width))[top : top + side, left : left + side]
    rows = ((np.arange(top, top + side) + 0.5) * label.shape[0] / height).astype(np.int64)
    columns = ((np.arange(left, left + side) + 0.5) * label.shape[1] / width).astype(np.int64)
    label = label[rows[:, None], columns[None, :]]
    if draws.random() < 0.5:
        image, label = image[:, ::-1], label[:, ::-1]
    return np.ascontiguousarray(image), np.ascontiguousarray(label)


def _save(folder: Path, backbone: BackboneConfig, num_labels: int, state: State) -> None:
    """The product; its config comes last and means that it is whole."""
    tensors = {name: value.cpu().contiguous() for name, value in state["network"].items()}
    write_atomic(
        folder / "network.safetensors", lambda path: safetensors.torch.save_file(tensors, path)
    )
    config = {"backbone": backbone.name, "num_labels": num_labels, "losses": state["losses"]}
    write_json(folder / "config.json", config)


def load_network(folder: str | Path) -> SegmentationNetwork:
    """A trained network, on the CPU. Raises UserError where there is none."""
    folder = Path(folder)
    if not (folder / "config.json").is_file():
        raise UserError(f"{folder} holds no network; raynef spectral selftrain makes one")
    config = read_json(folder / "config.json")
    network = SegmentationNetwork(create_model(config["backbone"]), config["num_labels"], frozen=0)
    weights = folder / "network.safetensors"
    load_exactly(network, read_state(weights), f"{weights} does not fit its config.json")
    return network.eval()


def _label(shown: Solved, folder: Path, num_labels: int, recipe: Recipe) -> dict[str, Any]:
    """Label every image by the network, write the labels, and score them where people's are."""
    labeled = all(file.label for file in shown.images.files)
    if labeled:
        require_labels(shown.images)
    out = shown.folder / "selftrain-labels"
    names = output_names(shown.images.files)
    units = [
        {**vars(unit), "names": [names[index] for index in unit.images]}
        for unit in units_among(shown.images, set(shown.pairs.images()), out)
    ]
    table = table_for(shown, num_labels)
    network = load_network(folder)
    progress = Progress("label", len(shown.pairs.images()), "images")
    results = stream(
        units,
        prepare=partial(read_whole, stride=network.stride, max_side=recipe.spectral.max_side),
        actor=LabelActor,
        actor_kwargs={"folder": str(folder)},
        actors=feature_actors(),
        finish=partial(
            finish_labels,
            codes=shown.images.label_codes,
            shape=table.shape,
            labeled=labeled,
            out=str(out),
        ),
        bounded=True,
    )
    for count, part in results:
        table += part
        progress.advance(count)
    progress.close()
    criterion = recipe.spectral.hungarian
    scores = scores_of(shown, table, criterion) if labeled else {"miou": None}
    return {"labels": str(out), "hungarian": criterion, **scores}


def read_whole(unit: Unit, *, stride: int, max_side: int) -> Unit:
    """Task: the images of a unit, fitted to whole patches."""
    images = []
    for file in unit["files"]:
        images.append(fit_image(read_image(file.path), stride=stride, max_side=max_side))
    return {**unit, "fitted": images}


class LabelActor:
    """Actor: the network; turns the images of a unit into labels at their own size."""

    def __init__(self, folder: str, device: str) -> None:
        self.network, self.device = load_network(folder).to(device), device

    @torch.inference_mode()
    def __call__(self, unit: Unit) -> Unit:
        """Replaces ``fitted`` by ``labels``, uint16 [H, W] each."""
        labels = []
        for pixels, frame in unit.pop("fitted"):
            images = torch.tensor(pixels, device=self.device).permute(2, 0, 1)[None] / 255
            found = self.network(images).argmax(dim=1)[0].cpu().numpy()
            labels.append(to_whole_image(found, frame).astype(np.uint16))
        return {**unit, "labels": labels}


def finish_labels(
    unit: Unit, *, codes: Any, shape: tuple[int, int], labeled: bool, out: str
) -> tuple[int, np.ndarray]:
    """Task: write the labels of a unit. Returns images and the table of counts."""
    table = np.zeros(shape, dtype=np.int64)
    for file, name, labels in zip(unit["files"], unit["names"], unit["labels"], strict=True):
        write_labels(Path(out) / name, labels)
        if labeled:
            table += count_pixels(labels.astype(np.int64), file, codes, shape)
    return len(unit["images"]), table
