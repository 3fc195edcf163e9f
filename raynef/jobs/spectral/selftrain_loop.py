"""Self-training in a worker: crops with their pseudo-labels, the network, and its steps."""

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
from raynef.cluster.worker import Worker
from raynef.config.recipe import Backbone as BackboneConfig
from raynef.config.recipe import SelfTrain
from raynef.core.draws import generator
from raynef.core.errors import NonFiniteLossError, UserError
from raynef.core.unfilled import unfilled
from raynef.features.backbone import create_model, load_model
from raynef.features.weights import load_exactly, read_state
from raynef.images.decode import read_image
from raynef.images.geometry import resize
from raynef.io.checkpoints import State
from raynef.io.files import read_json, write_atomic, write_json
from raynef.models.network import SegmentationNetwork
from raynef.work.ahead import one_ahead

_SCALE = (1.0, 2.0)
"""Short side of an image before its crop is cut, in sides of the crop."""


@dataclass(frozen=True)
class Example:
    """One training image: where it and its pseudo-label lie."""

    image: str
    label: str


def new_network(
    config: BackboneConfig, num_labels: int, settings: SelfTrain
) -> SegmentationNetwork:
    """A network that starts from the recipe's backbone, on the CPU."""
    model = load_model(config)
    return SegmentationNetwork(model, num_labels, frozen=settings.frozen, seed=settings.seed)


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
    slots = range(settings.batch_size)[rank::world]
    steps = range(state["step"], settings.steps)
    decoded = one_ahead(partial(crops, examples, settings, step, slots) for step in steps)
    for step, (images, labels) in zip(steps, decoded, strict=True):
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


def save_network(folder: Path, backbone: BackboneConfig, num_labels: int, state: State) -> None:
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
    with unfilled():
        model = create_model(config["backbone"])
        network = SegmentationNetwork(model, config["num_labels"], frozen=0)
    weights = folder / "network.safetensors"
    load_exactly(network, read_state(weights), f"{weights} does not fit its config.json")
    return network.eval()
