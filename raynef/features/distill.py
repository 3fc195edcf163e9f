"""Distillation: a small ViT learns a larger one's patch tokens on unlabeled images.

Teacher and student see the same view; the student's patch tokens after the final norm are
regressed onto the teacher's, standardised per channel. Few images go far when the views are many
and the function is matched for long (Beyer et al., arXiv:2106.05237), so crops are mixed too.

What step s sees depends on (seed, s) alone: a run that is resumed ends where one that was never
stopped does. Teacher and student are timm ViTs with ``pretrained_cfg`` (mean and std).
"""

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from raynef.core.draws import generator
from raynef.core.errors import BadImageError, NonFiniteLossError, UserError, require
from raynef.features.precision import has_bfloat16
from raynef.io.files import write_atomic

_log = logging.getLogger(__name__)

# Of the final norm, which fixes the tokens' size: a guess that is half as large as its goal costs
# less than one of full size while it is still wrong.
_FIRST_GAIN = 0.5

ReadImage = Callable[[Path], np.ndarray]
"""A path to RGB, uint8 [H, W, 3]; raises ``BadImageError``."""


@dataclass(frozen=True)
class ImageSource:
    """Some images and their share of the crops."""

    paths: tuple[Path, ...]
    weight: float = 1.0
    """Relative to the other sources' weights, whatever the number of images."""


@dataclass(frozen=True)
class DistillConfig:
    """How long, on what views and how fast; a run is ``steps`` or ``minutes`` long, not both."""

    steps: int | None = None
    """Optimizer steps; the same seed and steps give the same student."""
    minutes: float | None = None
    """Wall time of training, over all resumptions."""
    batch_size: int = 8
    """Crops of a step at the smallest crop size; larger crops come in smaller batches."""
    crop_sizes: tuple[tuple[int, float], ...] = ((224, 0.7), (320, 0.3))
    """Pairs (side in pixels, share of the steps)."""
    crop_scale: tuple[float, float] = (0.15, 1.0)
    """Range of a crop's share of its image's area."""
    crop_ratio: tuple[float, float] = (0.75, 4 / 3)
    """Range of a crop's width over its height, before it is made square."""
    jitter: float = 0.3
    """Greatest relative change of brightness, contrast and saturation; of teacher and student."""
    cutmix: float = 0.25
    """Share of the steps that paste a rectangle of each crop into its neighbor."""
    learning_rate: float = 1.5e-3
    """Peak of AdamW's rate, after the warm-up; then a cosine to zero."""
    warmup: float = 0.02
    """Share of the run that warms up."""
    weight_decay: float = 0.05
    """On matrices; never on biases, norms or position embeddings."""
    margin: int = 1
    """Patches of mirrored image around what the teacher sees, whose tokens are dropped: some ViTs
    (the augreg ones) keep the same token at the corners of every image, which is nothing to learn.
    """
    middle_weight: float = 0.5
    """Of the loss between the tokens half way, through a projection that is thrown away."""
    clip: float = 1.0
    """Greatest norm of the gradient."""
    ema_decay: float = 0.998
    """Of the averaged weights, which are what is kept."""
    stats_batches: int = 12
    """Batches of teacher tokens that fix the mean and deviation of each channel."""
    autocast: bool = True
    """Run both models in bfloat16 where the device has it; weights stay in float32. On processors
    without it, which take many times as long, this does nothing."""
    cache_mb: int = 2048
    """Decoded images kept in memory."""
    save_every_minutes: float = 5.0
    """Between two savings, that is, what a killed run loses."""
    seed: int = 0

    def check(self) -> None:
        """Raise ``UserError`` for a value that is impossible."""
        if (self.steps is None) == (self.minutes is None):
            raise UserError(
                f"give either steps or minutes, got steps={self.steps} and minutes={self.minutes}"
            )
        require(self.steps is None or self.steps > 0, "steps", "positive", self.steps)
        require(self.minutes is None or self.minutes > 0, "minutes", "positive", self.minutes)
        require(self.batch_size > 0, "batch_size", "positive", self.batch_size)
        require(self.margin >= 0, "margin", ">= 0", self.margin)
        require(bool(self.crop_sizes), "crop_sizes", "at least one pair", self.crop_sizes)
        low, high = self.crop_scale
        require(0 < low <= high <= 1, "crop_scale", "0 < low <= high <= 1", self.crop_scale)


@dataclass(frozen=True)
class DistillResult:
    """What a run did; the student itself holds the averaged weights.

    Attributes:
        steps: optimizer steps, those before a resumption included.
        images_seen: crops that were trained on.
        minutes: wall time of training.
        loss: mean over the last 100 steps (fewer after a resumption).
        skipped: reason by path of the images that could not be read.
    """

    steps: int
    images_seen: int
    minutes: float
    loss: float
    skipped: dict[str, str] = field(default_factory=dict)


class Crops:
    """Random square crops of all sources, the same for the same (seed, step)."""

    def __init__(
        self, sources: Sequence[ImageSource], read_image: ReadImage, config: DistillConfig
    ) -> None:
        sources = [source for source in sources if source.paths and source.weight > 0]
        if not sources:
            raise UserError("no images to distill on: give a folder that holds some")
        self.sources, self.read_image, self.config = sources, read_image, config
        weights = np.array([source.weight for source in sources], dtype=np.float64)
        self.shares = weights / weights.sum()
        self.skipped: dict[str, str] = {}
        self._cache: dict[Path, np.ndarray] = {}
        self._room = config.cache_mb * 2**20

    def batch(self, *keys: int | str) -> Tensor:
        """Crops for ``(..., step)``: [B, 3, S, S] in [0, 1]."""
        config = self.config
        draw = generator("distill", config.seed, *keys)
        sides = [side for side, _ in config.crop_sizes]
        shares = np.array([share for _, share in config.crop_sizes], dtype=np.float64)
        side = int(draw.choice(sides, p=shares / shares.sum()))
        number = max(1, round(config.batch_size * (min(sides) / side) ** 2))
        pixels = np.stack([self._crop(side, draw) for _ in range(number)])
        images = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous() / 255.0
        images = _jitter(images, config.jitter, draw)
        return _cutmix(images, draw) if draw.random() < config.cutmix else images

    def _crop(self, side: int, draw: np.random.Generator) -> np.ndarray:
        image = self._image(draw)
        height, width = image.shape[:2]
        area = height * width * draw.uniform(*self.config.crop_scale)
        narrow, wide_ratio = self.config.crop_ratio
        ratio = math.exp(draw.uniform(math.log(narrow), math.log(wide_ratio)))
        wide = min(width, math.sqrt(area * ratio))
        high = min(height, math.sqrt(area / ratio))
        left, top = draw.uniform(0, width - wide), draw.uniform(0, height - high)
        crop = np.asarray(
            Image.fromarray(image).resize(
                (side, side),
                Image.Resampling.BILINEAR,
                box=(left, top, left + wide, top + high),
            )
        )
        return crop[:, ::-1] if draw.random() < 0.5 else crop

    def _image(self, draw: np.random.Generator) -> np.ndarray:
        """A random image; one that cannot be read is noted and another drawn."""
        total = sum(len(source.paths) for source in self.sources)
        while len(self.skipped) < total:
            source = self.sources[int(draw.choice(len(self.sources), p=self.shares))]
            path = source.paths[int(draw.integers(len(source.paths)))]
            if path in self._cache:
                return self._cache[path]
            if str(path) in self.skipped:
                continue
            try:
                image = self.read_image(path)
            except BadImageError as error:
                self.skipped[str(path)] = str(error)
                _log.warning("skipped %s: %s", path, error)
                continue
            if image.nbytes <= self._room:
                self._room -= image.nbytes
                self._cache[path] = image
            return image
        raise UserError(
            f"none of the {total} images can be read; the first: {self._first_reason()}"
        )

    def _first_reason(self) -> str:
        return ": ".join(next(iter(self.skipped.items())))


def _jitter(images: Tensor, strength: float, draw: np.random.Generator) -> Tensor:
    """Brightness, contrast and saturation of each image on its own: [B, 3, S, S] in [0, 1]."""
    low, high = 1 - strength, 1 + strength
    factors = torch.from_numpy(draw.uniform(low, high, (3, len(images), 1, 1, 1))).float()
    bright, contrast, saturation = factors
    images = images * bright
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    images = mean + (images - mean) * contrast
    gray = images.mean(dim=1, keepdim=True)
    return (gray + (images - gray) * saturation).clamp(0, 1)


def _cutmix(images: Tensor, draw: np.random.Generator) -> Tensor:
    """Paste one random rectangle of every image into the next: [B, 3, S, S]."""
    side = images.shape[-1]
    high, wide = (draw.uniform(0.25, 0.75, 2) * side).astype(int)
    top, left = int(draw.integers(side - high + 1)), int(draw.integers(side - wide + 1))
    mixed = images.clone()
    rows, columns = slice(top, top + high), slice(left, left + wide)
    mixed[:, :, rows, columns] = images.roll(1, dims=0)[:, :, rows, columns]
    return mixed


def patch_tokens(model: Any, images: Tensor) -> tuple[Tensor, Tensor]:
    """Images [B, 3, H, W] in [0, 1] -> patch tokens half way and after the final norm.

    Both float32 [B, h·w, D], row-major, without the prefix tokens.
    """
    config = model.pretrained_cfg
    mean = images.new_tensor(config["mean"])[:, None, None]
    std = images.new_tensor(config["std"])[:, None, None]
    tokens, (middle,) = model.forward_intermediates(
        (images - mean) / std, indices=[len(model.blocks) // 2 - 1], output_fmt="NLC"
    )
    return middle.float(), tokens[:, int(getattr(model, "num_prefix_tokens", 0)) :].float()


def tokens_within(model: Any, images: Tensor, *, margin: int) -> tuple[Tensor, Tensor]:
    """``patch_tokens`` of square images within a mirrored margin, whose own tokens are dropped.

    Args:
        model: a timm ViT.
        images: [B, 3, S, S] in [0, 1].
        margin: patches on each side, of which S has more.
    """
    if not margin:
        return patch_tokens(model, images)
    patch = model.patch_embed.patch_size[0]
    width = images.shape[-1] // patch + 2 * margin
    around = functional.pad(images, (margin * patch,) * 4, mode="reflect")
    inner = slice(margin, -margin)
    middle, last = (
        tokens.unflatten(1, (width, width))[:, inner, inner].flatten(1, 2)
        for tokens in patch_tokens(model, around)
    )
    return middle, last


class _Trainer:
    """The state of a run: student, its average, the optimizer, the clock."""

    def __init__(self, teacher: Any, student: Any, crops: Crops, config: DistillConfig) -> None:
        self.device = next(student.parameters()).device
        self.teacher = teacher.to(self.device).eval().requires_grad_(False)
        self.student = student.train()
        self.crops, self.config = crops, config
        self.half = config.autocast and has_bfloat16(self.device)
        self.scale = teacher.patch_embed.patch_size[0] / student.patch_embed.patch_size[0]
        self.stats = self._channel_stats()
        torch.manual_seed(config.seed)  # of the projections
        self.heads = self._make_heads()
        self.average = {name: value.clone() for name, value in student.state_dict().items()}
        trained = [*student.named_parameters(), *self.heads.named_parameters()]
        self.parameters = [parameter for _, parameter in trained]
        plain = [p for name, p in trained if p.ndim < 2 or name == "pos_embed"]
        matrices = [p for name, p in trained if not (p.ndim < 2 or name == "pos_embed")]
        self.optimizer = torch.optim.AdamW(
            [
                {"params": matrices, "weight_decay": config.weight_decay},
                {"params": plain, "weight_decay": 0.0},
            ],
            lr=config.learning_rate,
            fused=True,
        )
        self.step = self.images_seen = 0
        self.seconds = 0.0

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.half)

    def _teach(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The teacher's tokens on the student's grid, half way and last: [B, h·w, D] each."""
        if self.scale != 1:
            images = functional.interpolate(images, scale_factor=self.scale, mode="bilinear")
        with torch.inference_mode(), self._autocast():
            middle, last = tokens_within(self.teacher, images, margin=self.config.margin)
        return middle.clone(), last.clone()  # ordinary tensors again

    def _channel_stats(self) -> list[tuple[Tensor, Tensor]]:
        """(mean, deviation) [D] of the teacher's tokens, half way and last, over some crops."""
        batches = [
            self._teach(self.crops.batch("stats", index).to(self.device))
            for index in range(self.config.stats_batches)
        ]
        tokens = [
            torch.cat([part.flatten(0, 1) for part in parts])
            for parts in zip(*batches, strict=True)
        ]
        return [(part.mean(0), part.std(0).clamp_min(1e-6)) for part in tokens]

    def _make_heads(self) -> nn.ModuleList:
        """From the student's tokens, half way and last, to the teacher's, standardised.

        Where both are as wide, the last are compared as they are: the student learns in
        standardised units, which ``kept`` folds back.
        """
        width, dim = self.student.embed_dim, len(self.stats[1][0])
        self.folds = dim == width
        with torch.no_grad():
            self.student.norm.weight.fill_(_FIRST_GAIN)
        last = nn.Identity() if self.folds else nn.Linear(width, dim)
        return nn.ModuleList([nn.Linear(width, dim), last]).to(self.device)

    def kept(self) -> dict[str, Tensor]:
        """The averaged weights, in the teacher's own units where the head is the identity."""
        state = dict(self.average)
        if self.folds:
            mean, std = self.stats[1]
            state["norm.weight"] = state["norm.weight"] * std
            state["norm.bias"] = state["norm.bias"] * std + mean
        return state

    def progress(self) -> float:
        """Share of the run that is behind, by steps or by the clock."""
        if self.config.steps is not None:
            return self.step / self.config.steps
        assert self.config.minutes is not None
        return self.seconds / 60 / self.config.minutes

    def rate(self) -> float:
        """Learning rate: linear warm-up, then a cosine to zero."""
        done, warm = self.progress(), self.config.warmup
        if done < warm:
            return self.config.learning_rate * max(done / warm, 0.01)
        return self.config.learning_rate * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))

    def prepare(self, step: int) -> tuple[Tensor, list[Tensor]]:
        """Crops of a step [B, 3, S, S] and the teacher's tokens of them, standardised."""
        images = self.crops.batch("train", step).to(self.device)
        taught = zip(self._teach(images), self.stats, strict=True)
        return images, [(tokens - mean) / std for tokens, (mean, std) in taught]

    def train_step(self, images: Tensor, goals: list[Tensor]) -> float:
        """One step towards the goals [B, h·w, D]; returns the loss of the last tokens."""
        with self._autocast():
            tokens = patch_tokens(self.student, images)
        middle, loss = (
            functional.smooth_l1_loss(head(part), goal)
            for head, part, goal in zip(self.heads, tokens, goals, strict=True)
        )
        value = loss.item()
        if not math.isfinite(value):
            raise NonFiniteLossError(
                f"the distillation loss is {value} at step {self.step}; lower the learning rate "
                f"({self.config.learning_rate}) or turn autocast off"
            )
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate()
        self.optimizer.zero_grad(set_to_none=True)
        (loss + self.config.middle_weight * middle).backward()
        nn.utils.clip_grad_norm_(self.parameters, self.config.clip)
        self.optimizer.step()
        self.step += 1
        self.images_seen += len(images)
        self._update_average()
        return value

    @torch.no_grad()
    def _update_average(self) -> None:
        # Young averages forget faster, or they would remember the initialization.
        decay = min(self.config.ema_decay, (1 + self.step) / (10 + self.step))
        state = self.student.state_dict()
        torch._foreach_lerp_(list(self.average.values()), list(state.values()), 1 - decay)

    def state(self) -> dict[str, Any]:
        return {
            "config": asdict(self.config),
            "student": self.student.state_dict(),
            "heads": self.heads.state_dict(),
            "average": self.average,
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "images_seen": self.images_seen,
            "seconds": self.seconds,
            "skipped": dict(self.crops.skipped),  # the teacher's thread may add to it
        }

    def restore(self, path: Path) -> None:
        """Go on from a checkpoint.

        Raises:
            UserError: it is of a run with other settings.
        """
        state = torch.load(path, map_location=self.device, weights_only=True)
        if state["config"] != asdict(self.config):
            ours, theirs = asdict(self.config), state["config"]
            differ = {k: (theirs.get(k), ours[k]) for k in ours if theirs.get(k) != ours[k]}
            raise UserError(
                f"checkpoint {path} is of another run (checkpoint's value, ours): {differ}; remove "
                "it to start anew"
            )
        self.student.load_state_dict(state["student"])
        self.heads.load_state_dict(state["heads"])
        self.average = state["average"]
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.images_seen = state["step"], state["images_seen"]
        self.seconds = state["seconds"]
        self.crops.skipped.update(state["skipped"])


def distill(
    teacher: Any,
    student: Any,
    sources: Sequence[ImageSource],
    *,
    read_image: ReadImage,
    config: DistillConfig,
    out: Path | None = None,
    checkpoint: Path | None = None,
    metadata: Mapping[str, str] | None = None,
    log: Callable[[str], None] = _log.info,
) -> DistillResult:
    """Train ``student`` on the teacher's patch tokens, on the student's device.

    Args:
        teacher, student: timm ViTs with ``pretrained_cfg``; the student is trained in place and
            ends with the averaged weights, the teacher is only frozen.
        sources: unlabeled images.
        read_image: decodes one file (``raynef.images.decode.read_image``).
        out: where the averaged weights are written in half precision, at every saving.
        checkpoint: where the state of the run is saved; if the file is there, the run goes on
            from it.
        metadata: written to the header of ``out`` beside steps, images, minutes and seed.
        log: takes a line of progress about every 100 steps.

    Raises:
        UserError: no readable image, or a checkpoint of other settings.
        NonFiniteLossError: with the step.
    """
    config.check()
    crops = Crops(sources, read_image, config)
    trainer = _Trainer(teacher, student, crops, config)
    if checkpoint is not None and checkpoint.exists():
        trainer.restore(checkpoint)
        log(f"resumed from {checkpoint} at step {trainer.step}")

    def save() -> None:
        if checkpoint is not None:
            write_atomic(checkpoint, lambda path: torch.save(trainer.state(), path))
        if out is not None:
            about = {
                **(metadata or {}),
                "steps": str(trainer.step),
                "images_seen": str(trainer.images_seen),
                "minutes": f"{trainer.seconds / 60:.1f}",
                "seed": str(config.seed),
            }
            save_weights(trainer.kept(), out, metadata=about)

    losses: list[float] = []
    saved = trainer.seconds
    with ThreadPoolExecutor(1) as ahead:  # the teacher is a step ahead of the student
        coming = ahead.submit(trainer.prepare, trainer.step)
        while trainer.progress() < 1:
            start = time.perf_counter()
            images, goals = coming.result()
            coming = ahead.submit(trainer.prepare, trainer.step + 1)
            losses.append(trainer.train_step(images, goals))
            trainer.seconds += time.perf_counter() - start
            if trainer.step % 100 == 0:
                log(
                    f"step {trainer.step} loss {np.mean(losses[-100:]):.4f} "
                    f"lr {trainer.rate():.2e} images {trainer.images_seen} "
                    f"minutes {trainer.seconds / 60:.1f} ({trainer.progress():.0%})"
                )
            if trainer.seconds - saved >= 60 * config.save_every_minutes:
                save()
                saved = trainer.seconds
    save()
    student.load_state_dict(trainer.kept())
    student.eval()
    return DistillResult(
        steps=trainer.step,
        images_seen=trainer.images_seen,
        minutes=trainer.seconds / 60,
        loss=float(np.mean(losses[-100:])) if losses else math.nan,
        skipped=dict(crops.skipped),
    )


def save_weights(state: Mapping[str, Tensor], path: Path, *, metadata: Mapping[str, str]) -> None:
    """Write tensors to a .safetensors file in half precision, atomically."""
    half = {name: value.detach().half().cpu().contiguous() for name, value in state.items()}
    # Not save_file, which makes a file that only its owner can read.
    encoded = safetensors.torch.save(half, metadata=dict(metadata))
    write_atomic(path, lambda temporary: temporary.write_bytes(encoded))
