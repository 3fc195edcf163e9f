"""``raynef predict`` beside the bare model, and its memory over many images.

    python tests/benchmarks/bench_predict_job.py rate RUN PHOTOS [--turns 5] [-- --format ids …]
    python tests/benchmarks/bench_predict_job.py memory RUN PHOTOS [--images 2000] [-- --ray …]

``rate``: images/s of the segmenter alone on decoded photographs, and of the command's job in the
same process from files to files, in turn; medians, and the median of the ratios. ``memory``: the
command on so many links to the photographs; the largest resident memory, MB, of its processes by
name, in the first quarter of the images and in the last. Prints one JSON line.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import torch

from raynef.cli.commands import parse
from raynef.cluster.place import placed
from raynef.images.decode import read_image
from raynef.models.segmenter import Segmenter
from raynef.work.sources import image_files


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("kind", choices=("rate", "memory"))
    parser.add_argument("run", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    line = sys.argv[1:]
    end = line.index("--") if "--" in line else len(line)
    options, further = parser.parse_args(line[:end]), line[end + 1 :]
    torch.set_num_threads(options.threads)
    print(json.dumps((rate if options.kind == "rate" else memory)(options, further)), flush=True)


def rate(options: argparse.Namespace, further: list[str]) -> dict:
    segmenter = Segmenter.load(options.run)
    images = [read_image(file.path) for file in image_files(str(options.photos))]
    segmenter(images[0])
    rates = defaultdict(list)
    for _ in range(options.turns):
        started = time.perf_counter()
        for image in images:
            segmenter(image)
        rates["bare"].append(len(images) / (time.perf_counter() - started))
        with tempfile.TemporaryDirectory() as out, placed("local"):
            line = ["predict", str(options.run), str(options.photos), "--out", out, *further]
            command = parse(line)
            started = time.perf_counter()
            command.execute()
            rates["predict"].append(len(images) / (time.perf_counter() - started))
    ratios = [job / bare for job, bare in zip(rates["predict"], rates["bare"], strict=True)]
    found = {name: round(statistics.median(values), 2) for name, values in rates.items()}
    ratio = round(statistics.median(ratios), 3)
    return {**found, "ratio": ratio, "threads": options.threads, "images": len(images)}


def memory(options: argparse.Namespace, further: list[str]) -> dict:
    files = image_files(str(options.photos.absolute()))
    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder, "photos"), Path(folder, "out")
        source.mkdir()
        for number in range(options.images):
            path = Path(files[number % len(files)].path)
            (source / f"{number:05d}{path.suffix}").symlink_to(path)
        line = ["predict", str(options.run), str(source), "--out", str(out), *further]
        command = [sys.executable, "-m", "raynef", *line]
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        peaks: dict[str, list[int]] = defaultdict(lambda: [0] * 4)
        quarter = 0
        assert process.stderr is not None
        for said in process.stderr:
            print(said, end="", file=sys.stderr)
            progress = re.search(r"predict: (\d+)/", said)
            if progress:
                quarter = min(3, 4 * int(progress[1]) // options.images)
            for name, size in _resident(process.pid).items():
                peaks[name][quarter] = max(peaks[name][quarter], size)
        if process.wait():
            raise SystemExit(f"the command failed with status {process.returncode}")
    shown = {name: [size >> 20 for size in sizes] for name, sizes in sorted(peaks.items())}
    return {"images": options.images, "peak_mb_by_quarter": shown}


def _resident(pid: int) -> dict[str, int]:
    """{name: the largest}, bytes of a process and its descendants, without what they share."""
    sizes: dict[str, int] = {}
    for number in _family(pid):
        try:
            name = Path(f"/proc/{number}/comm").read_text().strip()
            pages = Path(f"/proc/{number}/statm").read_text().split()
        except OSError:  # it has ended
            continue
        name = "driver" if number == pid else name
        own = (int(pages[1]) - int(pages[2])) * os.sysconf("SC_PAGESIZE")
        sizes[name] = max(sizes.get(name, 0), own)
    return sizes


def _family(pid: int) -> list[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        children = []
    return [pid, *(number for child in children for number in _family(int(child)))]


if __name__ == "__main__":
    main()
