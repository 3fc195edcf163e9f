"""A segmenter as one file that other programs run: ``raynef export``."""

import dataclasses
import importlib
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image

from raynef.core.draws import generator
from raynef.core.errors import UserError
from raynef.io.files import write_atomic
from raynef.jobs.results import told_by_captions
from raynef.models.exported import exported_program
from raynef.models.segmenter import Segmenter
from raynef.stores.run import git_commit

logger = logging.getLogger("raynef")

Format = Literal["onnx", "torch"]
Runner = Callable[[np.ndarray], np.ndarray]
"""Images, uint8 [N, H, W, 3], to clusters, int32 [N, H, W]."""

LEAST_EQUAL = 0.999
"""Share of the pixels that must be of the same cluster as the segmenter says, at each size."""
METADATA = "raynef.json"
"""Name of what a file says of itself: key of an ONNX model's properties, extra file of torch's."""

_OPSET = 20
_NEEDS = {"onnx": ("onnx", "onnxscript", "onnxruntime"), "torch": ()}


def export(run: str | Path, out: str | Path, *, format: Format = "onnx") -> dict[str, Any]:
    """Write a segmenter as one file, and compare what it gives; the result of ``raynef export``.

    The file takes ``images``, uint8 [N, H, W, 3] of any number and size, and gives ``logits``,
    float32 [N, h, w, K], and ``clusters``, int32 [N, H, W], as ``ExportedSegmenter`` does. Within
    it, under ``METADATA``, are the scale of its images, and the names of its clusters if any.

    Args:
        run: its folder, or a segmenter's.
        out: the file.
        format: ``onnx``, or ``torch`` for what ``torch.export.load`` reads.

    Raises:
        UserError: no segmenter, a folder where the file is to be, a package that is not installed,
            or a backbone that torch cannot export.
        RuntimeError: the file gives other clusters than the segmenter.
    """
    out = Path(out).absolute()
    if out.is_dir():
        raise UserError(f"{out} is a folder; --out is a file, such as {out / 'segmenter.onnx'}")
    _require(format)
    segmenter = Segmenter.load(run)
    # As the file computes, on whatever runs it.
    config = dataclasses.replace(segmenter.backbone_config, precision="float32")
    segmenter.backbone_config = config
    described = description(segmenter)
    logger.info("export: tracing %s", segmenter.backbone.name)
    try:
        program = exported_program(segmenter)
    except Exception as error:  # torch's own, of many kinds
        reason = str(error).strip().partition("\n")[0]
        raise UserError(f"torch cannot export {segmenter.backbone.name}: {reason}") from error
    write = _write_onnx if format == "onnx" else _write_torch
    out.parent.mkdir(parents=True, exist_ok=True)
    compared: list[dict[str, Any]] = []

    def write_and_compare(path: Path) -> None:
        write(program, described, path)
        open_file = onnx_runner if format == "onnx" else torch_runner
        compared.extend(_compare(segmenter, open_file(path)))

    write_atomic(out, write_and_compare)
    logger.info("export: %s, %.1f MB", out, out.stat().st_size / 1e6)
    return {
        "run": str(Path(run).absolute()),
        "file": str(out),
        "format": format,
        "num_bytes": out.stat().st_size,
        "compared": compared,
    }


def description(segmenter: Segmenter) -> dict[str, Any]:
    """What the file says of itself: how to prepare images, and what the clusters are."""
    mapping = segmenter.classes
    return {
        "short_side": segmenter.short_side,  # pixels, of an image as it goes in
        "patch_size": segmenter.backbone.patch_size,  # whole patches look best at the edges
        "square": segmenter.backbone_config.input_size is not None,  # it takes squares alone
        "num_clusters": segmenter.num_clusters,
        "classes": list(mapping.classes) if mapping else None,  # of each cluster; -1: none
        "class_names": list(mapping.class_names) if mapping else None,
        "backbone": segmenter.backbone.name,
        "supervised": segmenter.supervised,
        "labels_leaked": segmenter.labels_leaked,
        **told_by_captions(segmenter),
        "commit": git_commit(),
    }


def _require(format: Format) -> None:
    missing = []
    for name in _NEEDS[format]:
        try:
            importlib.import_module(name)
        except ImportError:
            missing.append(name)
    if missing:
        raise UserError(f"--format {format} needs {', '.join(missing)}: pip install 'raynef[onnx]'")


def _write_onnx(
    program: torch.export.ExportedProgram, described: dict[str, Any], path: Path
) -> None:
    made = torch.onnx.export(
        program,
        dynamo=True,
        input_names=["images"],
        output_names=["logits", "clusters"],
        opset_version=_OPSET,
        verbose=False,
    )
    if made is None:
        raise UserError("torch made no ONNX model of this segmenter")
    made.model.metadata_props[METADATA] = json.dumps(described, ensure_ascii=False)
    made.save(path, external_data=False)


def _write_torch(
    program: torch.export.ExportedProgram, described: dict[str, Any], path: Path
) -> None:
    extra = {METADATA: json.dumps(described, ensure_ascii=False)}
    with path.open("wb") as file:
        torch.export.save(program, file, extra_files=extra)


def onnx_runner(path: Path) -> Runner:
    """What an ONNX file gives, by ONNX Runtime on the CPU."""
    runtime: Any = importlib.import_module("onnxruntime")
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda images: session.run(["clusters"], {"images": images})[0]


def torch_runner(path: Path) -> Runner:
    """What torch's file gives."""
    with path.open("rb") as file:
        module = torch.export.load(file).module()
    return lambda images: module(torch.from_numpy(images))[1].numpy()


def _compare(segmenter: Segmenter, run: Runner) -> list[dict[str, Any]]:
    """Beside the segmenter, on soft noise of three sizes. Raises RuntimeError: too little equal."""
    side, patch = segmenter.short_side, segmenter.backbone.patch_size
    sizes = [(side, side), (side, side * 4 // 3), (side + side // 4 + patch // 2, side)]
    if segmenter.backbone_config.input_size is not None:
        sizes = [(side, side), (side - side // 4, side - side // 4), (side + 9, side + 9)]
    compared: list[dict[str, Any]] = []
    for number, size in enumerate(sizes):
        draws = generator("export", number)
        coarse = draws.integers(0, 256, (size[0] // 24 + 2, size[1] // 24 + 2, 3), dtype=np.uint8)
        soft = Image.fromarray(coarse).resize((size[1], size[0]), Image.Resampling.BICUBIC)
        images = np.stack([np.asarray(soft)] * (1 + number % 2))
        equal = float((run(images) == segmenter.clusters(images)).mean())
        logger.info("export: %d×%d pixels, %.3f %% equal", *size, 100 * equal)
        if equal < LEAST_EQUAL:
            raise RuntimeError(
                f"the exported file gives other clusters than the segmenter: {100 * equal:.2f} % "
                f"of the pixels are equal at {size[0]}×{size[1]}"
            )
        compared.append({"size": list(size), "equal": equal})
    return compared
