"""What clients at once gain over one: images a second and latency of a running service.

    raynef serve RUN --port 8000
    python tests/benchmarks/bench_serve.py 8000 FOLDER [--clients 8] [--turns 7] [--images 32]

Each client sends the photographs of FOLDER one after another, over one connection. One client and
several take turns, so that whatever else the machine does meets both. Prints one JSON line: the
medians over the turns of images a second, of the ratio within a turn, and of the latency in
milliseconds, and the mean number of images that were segmented at once.
"""

import argparse
import http.client
import json
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path


@dataclass(frozen=True)
class Turn:
    """What some clients saw."""

    rate: float  # images a second
    latencies: list[float]  # seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("port", type=int)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--path", default="/predict")
    options = parser.parse_args()
    files = sorted(options.folder.glob("*.jpg"))[: options.images]
    photos = list(islice(cycle([path.read_bytes() for path in files]), options.images))

    def turn(clients: int) -> Turn:
        shares = [photos[start::clients] for start in range(clients)]
        began = time.monotonic()
        with ThreadPoolExecutor(clients) as pool:
            found = list(pool.map(lambda share: send(options.port, options.path, share), shares))
        seconds = time.monotonic() - began
        return Turn(len(photos) / seconds, [latency for each in found for latency in each])

    turn(options.clients)  # what is made at the first image is no part of it
    pairs: list[tuple[Turn, Turn]] = []
    before = counted(options.port)
    for _ in range(options.turns):
        pairs.append((turn(1), turn(options.clients)))
    after = counted(options.port)
    several = options.turns * len(photos)  # one client's images came alone
    at_once = (after[0] - before[0] - several) / several
    ones, others = zip(*pairs, strict=True)
    print(
        json.dumps(
            {
                "clients": options.clients,
                "images_per_second": {"1": rate(ones), str(options.clients): rate(others)},
                "ratio": round(statistics.median(o.rate / one.rate for one, o in pairs), 3),
                "ratios": [round(o.rate / one.rate, 2) for one, o in pairs],
                "latency_ms": {"1": latency(ones), str(options.clients): latency(others)},
                "at_once": round(at_once, 2),
            }
        ),
        flush=True,
    )


def send(port: int, path: str, photos: Sequence[bytes]) -> list[float]:
    """The latency of each image, in seconds."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    latencies: list[float] = []
    for photo in photos:
        began = time.monotonic()
        connection.request("POST", path, photo, {"Content-Type": "image/jpeg"})
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            raise SystemExit(f"status {answer.status}")
        latencies.append(time.monotonic() - began)
    connection.close()
    return latencies


def counted(port: int) -> tuple[float, float]:
    """Of the service's metrics: the sum of batch sizes over images, and the images."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", "/metrics")
    lines = connection.getresponse().read().decode().splitlines()
    values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    sums = (values[f"raynef_serve_batch_size_{part}"] for part in ("sum", "count"))
    return float(next(sums)), float(next(sums))


def rate(turns: Sequence[Turn]) -> float:
    return round(statistics.median(turn.rate for turn in turns), 2)


def latency(turns: Sequence[Turn]) -> dict[str, int]:
    """Median and 95th percentile over all images."""
    seconds = sorted(latency for turn in turns for latency in turn.latencies)
    return {
        "median": round(1000 * statistics.median(seconds)),
        "p95": round(1000 * seconds[int(0.95 * (len(seconds) - 1))]),
    }


if __name__ == "__main__":
    main()
