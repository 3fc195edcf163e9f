"""What a segmenter's head costs beside its backbone: process time of one image of 320×320.

    python tests/benchmarks/bench_predict.py RUN [RUN …]

Prints one JSON line a run: milliseconds of an image in the head alone and from pixels to clusters,
the least of several turns in which all runs take their part, and K.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

import raynef

_SIDE, _IMAGES, _TURNS = 320, 4, 6


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    shape = (_IMAGES, _SIDE, _SIDE, 3)
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    segmenters = [raynef.Segmenter.load(run) for run in options.runs]
    taps = [segmenter.taps(images) for segmenter in segmenters]
    least = np.full((len(segmenters), 2), np.inf)
    for _ in range(_TURNS):
        for place, (segmenter, seen) in enumerate(zip(segmenters, taps, strict=True)):
            head = spent(lambda s=segmenter, t=seen: s.logits(t, (_SIDE, _SIDE)))
            whole = spent(lambda s=segmenter: s.clusters(images))
            least[place] = np.minimum(least[place], (head, whole))
    for run, segmenter, (head, whole) in zip(options.runs, segmenters, least, strict=True):
        found = {"K": segmenter.num_clusters, "head_ms": head, "whole_ms": whole}
        rounded = {name: round(value, 1) for name, value in found.items()}
        print(json.dumps({"run": str(run), **rounded}), flush=True)


def spent(work: Callable[[], object]) -> float:
    """Process time of one image, in milliseconds."""
    started = time.process_time()
    work()
    return 1000 * (time.process_time() - started) / _IMAGES


if __name__ == "__main__":
    main()
