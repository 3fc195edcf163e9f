"""Small trials of libraries, each in a process of its own: one that crashes or hangs harms none.

``python -m raynef.ops.doctor.probes NAME …`` prints one JSON line.
"""

import contextlib
import json
import os
import signal
import sys
import tempfile
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

_SIDE = 8


def torch_devices() -> dict[str, Any]:
    """The GPUs that torch sees, whether each computes, and what torch warns of where it sees none.

    ``kernels`` has for each the error of a small product, or None, and ``mps`` that of an Apple
    GPU, where there is one; ``device`` is where networks run in one process, ``why`` the reason,
    or, where ``device`` is None, what is wrong with the one that was asked for; ``bfloat16`` says
    whether their products are made in it there.
    """
    import torch

    from raynef.cluster.devices import choose_device, has_mps
    from raynef.core.errors import UserError
    from raynef.features.precision import has_bfloat16

    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        available = torch.cuda.is_available()
    devices, kernels = [], []
    for index in range(torch.cuda.device_count() if available else 0):
        found = torch.cuda.get_device_properties(index)
        devices.append({"name": found.name, "memory": found.total_memory})
        kernels.append(_product(f"cuda:{index}"))
    try:
        choice = choose_device()
        device, why = choice.kind, choice.why
    except UserError as error:
        device, why = None, str(error)
    return {
        "built_for": torch.version.cuda,
        "devices": devices,
        "kernels": kernels,
        "mps": {"error": _product("mps")} if has_mps() else None,
        "device": device,
        "why": why,
        "bfloat16": has_bfloat16(torch.device(device or "cpu")),
        "warnings": [" ".join(str(warning.message).split()) for warning in warned],
    }


def _product(device: str) -> str | None:
    """What is wrong with a small product on a device, or None."""
    import torch

    try:
        ones = torch.ones(_SIDE, _SIDE, device=device)
        return None if float((ones @ ones).sum()) == _SIDE**3 else "a wrong product"
    except RuntimeError as error:
        return str(error).strip().splitlines()[0]


def torchvision_operators() -> dict[str, Any]:
    """Whether torchvision's compiled part fits this torch: of two equal boxes one is kept."""
    import torch
    from torchvision.ops import nms

    boxes = torch.tensor([[0.0, 0.0, 2.0, 2.0]] * 2)
    return {"kept": nms(boxes, torch.tensor([1.0, 0.5]), 0.5).tolist()}


def faiss_search() -> dict[str, Any]:
    """The nearest of a few points to each of themselves, and the GPUs that faiss sees."""
    import faiss

    points = np.eye(_SIDE, dtype=np.float32)
    index = faiss.IndexFlatL2(_SIDE)
    index.add(points)  # pyright: ignore[reportCallIssue]
    _, nearest = index.search(points, 1)  # pyright: ignore[reportCallIssue]
    return {
        "nearest": nearest[:, 0].tolist(),
        "options": faiss.get_compile_options().split(),
        "gpus": int(faiss.get_num_gpus()) if hasattr(faiss, "StandardGpuResources") else None,
    }


def crf_inference() -> dict[str, Any]:
    """A CRF that outvotes one pixel among others of its color."""
    from raynef.segment.crf import dense_crf, has_crf

    if not has_crf():
        return {"labels": None}
    probabilities = np.full((2, _SIDE, _SIDE), [[[0.9]], [[0.1]]], dtype=np.float32)
    probabilities[:, 4, 4] = [0.4, 0.6]
    image = np.full((_SIDE, _SIDE, 3), 128, dtype=np.uint8)
    labels = dense_crf(image, np.log(probabilities)).argmax(axis=0)
    return {"labels": np.unique(labels).tolist()}


def collective(backend: str, world: str) -> dict[str, Any]:
    """A sum over some processes, by gloo or NCCL; on GPUs one process each."""
    from raynef.cluster.exchange import sum_of_ranks

    size = int(world)
    with tempfile.TemporaryDirectory() as folder:
        children = []
        for rank in range(1, size):
            child = os.fork()
            if child == 0:
                status = 1
                with contextlib.suppress(Exception):  # the first process says what went wrong
                    status = int(sum_of_ranks(backend, rank, size, folder) != size * (size + 1) / 2)
                os._exit(status)
            children.append(child)
        try:
            total = sum_of_ranks(backend, 0, size, folder)
        except BaseException:
            for child in children:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
            raise
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    return {"sum": total, "processes": size, "codes": codes}


PROBES: dict[str, Callable[..., dict[str, Any]]] = {
    "torch": torch_devices,
    "torchvision": torchvision_operators,
    "faiss": faiss_search,
    "crf": crf_inference,
    "collective": collective,
}

if __name__ == "__main__":
    sys.stdout.write(json.dumps(PROBES[sys.argv[1]](*sys.argv[2:])) + "\n")
