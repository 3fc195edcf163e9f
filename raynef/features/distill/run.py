"""A whole distillation, with its progress, savings and result."""

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch

from raynef.features.distill.config import DistillConfig
from raynef.features.distill.crops import Crops, ImageSource, ReadImage
from raynef.features.distill.trainer import DistillTrainer
from raynef.io.files import write_atomic

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DistillResult:
    """What a run did; the student itself holds the averaged weights."""

    steps: int  # of the optimizer, those before a resumption included
    images_seen: int  # crops that were trained on
    minutes: float  # wall time of training
    loss: float  # mean over the last 100 steps (fewer after a resumption)
    skipped: dict[str, str] = field(default_factory=dict)  # unreadable images: reason by path


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
    trainer = DistillTrainer(teacher, student, crops, config)
    if checkpoint is not None and checkpoint.exists():
        trainer.restore(checkpoint)
        log(f"resumed from {checkpoint} at step {trainer.step}")

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
                _save(trainer, out, checkpoint, metadata or {})
                saved = trainer.seconds
    _save(trainer, out, checkpoint, metadata or {})
    student.load_state_dict(trainer.kept())
    student.eval()
    return DistillResult(
        steps=trainer.step,
        images_seen=trainer.images_seen,
        minutes=trainer.seconds / 60,
        loss=float(np.mean(losses[-100:])) if losses else math.nan,
        skipped=dict(crops.skipped),
    )


def _save(
    trainer: DistillTrainer, out: Path | None, checkpoint: Path | None, metadata: Mapping[str, str]
) -> None:
    """The state of a run, and its averaged weights in half precision."""
    if checkpoint is not None:
        write_atomic(checkpoint, lambda path: torch.save(trainer.state(), path))
    if out is not None:
        about = {
            **metadata,
            "steps": str(trainer.step),
            "images_seen": str(trainer.images_seen),
            "minutes": f"{trainer.seconds / 60:.1f}",
            "seed": str(trainer.config.seed),
        }
        half = {name: v.detach().half().cpu().contiguous() for name, v in trainer.kept().items()}
        # Not save_file, which makes a file that only its owner can read.
        encoded = safetensors.torch.save(half, metadata=about)
        write_atomic(out, lambda temporary: temporary.write_bytes(encoded))
