"""One training step of a distillation, and what a checkpoint of it holds."""

import contextlib
import math
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from raynef.core.errors import NonFiniteLossError, UserError
from raynef.features.distill.config import DistillConfig
from raynef.features.distill.crops import Crops
from raynef.features.fallback import completed
from raynef.features.precision import has_bfloat16

# Of the final norm, which fixes the tokens' size: a guess that is half as large as its goal costs
# less than one of full size while it is still wrong.
_FIRST_GAIN = 0.5

_PARTS, _VALUES = ("student", "heads", "optimizer"), ("average", "step", "images_seen", "seconds")


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

    ``margin`` counts patches on each side, of which an image's side has more.
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


class DistillTrainer:
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
        groups = [
            {"params": matrices, "weight_decay": config.weight_decay},
            {"params": plain, "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=config.learning_rate, fused=True)
        self.step = self.images_seen = 0
        self.seconds = 0.0

    @contextlib.contextmanager
    def _autocast(self) -> Iterator[None]:
        with (
            completed(self.device),
            torch.autocast(self.device.type, torch.bfloat16, enabled=self.half),
        ):
            yield

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
        # Young averages forget faster, or they would remember the initialization.
        decay = min(self.config.ema_decay, (1 + self.step) / (10 + self.step))
        weights = list(self.student.state_dict().values())
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.values()), weights, 1 - decay)
        return value

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        return {
            "config": asdict(self.config),
            "skipped": dict(self.crops.skipped),  # the teacher's thread may add to it
            **{name: getattr(self, name).state_dict() for name in _PARTS},
            **{name: getattr(self, name) for name in _VALUES},
        }

    def restore(self, path: Path) -> None:
        """Go on from a checkpoint; raises ``UserError`` if it is of a run with other settings."""
        state = torch.load(path, map_location=self.device, weights_only=True)
        ours, theirs = asdict(self.config), state["config"]
        if theirs != ours:
            differ = {k: (theirs.get(k), ours[k]) for k in ours if theirs.get(k) != ours[k]}
            raise UserError(
                f"checkpoint {path} is of another run (checkpoint's value, ours): {differ}; remove "
                "it to start anew"
            )
        for name in _PARTS:
            getattr(self, name).load_state_dict(state[name])
        for name in _VALUES:
            setattr(self, name, state[name])
        self.crops.skipped.update(state["skipped"])
