"""The service on Ray Serve: as predict answers, through failures, until Ctrl-C (minutes)."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from raynef.jobs.predict import predict
from raynef.web.serve import TOKEN
from tests.known import present
from tests.malformed import attack
from tests.serving import ask, encoded

ATTACKS = 10_000
AT_ONCE = 8
JPEG = {"Content-Type": "image/jpeg"}


@dataclass(frozen=True)
class Running:
    """A ``raynef serve`` that listens."""

    process: subprocess.Popen
    port: int
    log: Path

    def below(self) -> dict[int, str]:
        """Processes that it started, and those that they did: titles by pid."""
        parents, titles = {}, {}
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                stat = (folder / "stat").read_text()
                titles[int(folder.name)] = (folder / "cmdline").read_text().strip("\0")
                parents[int(folder.name)] = int(stat.rpartition(")")[2].split()[1])
        mine, more = set[int](), {self.process.pid}
        while more:
            mine |= more
            more = {pid for pid, parent in parents.items() if parent in more} - mine
        return {pid: titles[pid] for pid in mine - {self.process.pid}}

    def replicas(self) -> list[int]:
        """Processes that segment."""
        return [pid for pid, title in self.below().items() if "ServeReplica" in title]

    def wait_until_healthy(self, seconds: float = 120) -> None:
        end = time.monotonic() + seconds
        while ask(self.port, "/healthz").status != 200:
            assert time.monotonic() < end
            time.sleep(0.2)


@pytest.fixture(scope="module")
def running(run_here, tmp_path_factory) -> Iterator[Running]:
    log = tmp_path_factory.mktemp("serve") / "log.txt"
    command = [sys.executable, "-m", "raynef", "serve", str(run_here[0]), "--port", "0"]
    with log.open("w") as told:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=told, text=True, start_new_session=True
        )
    try:
        while "/docs describes the requests" not in log.read_text():
            assert process.poll() is None, log.read_text()
            time.sleep(0.1)
        port = int(log.read_text().rpartition("/docs")[0].rpartition(":")[2])
        yield Running(process, port, log)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.wait(60)


@pytest.fixture(scope="module")
def photos(sample) -> list[bytes]:
    """Of several sizes."""
    made = []
    for number, path in enumerate(sorted((sample / "images").glob("val_*.jpg"))):
        with Image.open(path) as image:
            pixels = np.asarray(image.resize((100 + 40 * number, 90)))
        made.append(encoded(pixels, "JPEG"))
    return made


@pytest.fixture(scope="module")
def predicted(run_here, photos, tmp_path_factory) -> list[bytes]:
    """The cluster PNGs that raynef predict writes."""
    folder = tmp_path_factory.mktemp("predicted")
    (folder / "photos").mkdir()
    for number, photo in enumerate(photos):
        (folder / "photos" / f"{number}.jpg").write_bytes(photo)
    predict(run_here[0], folder / "photos", folder / "out")
    return [path.read_bytes() for path in sorted((folder / "out" / "clusters").iterdir())]


def test_one_client_and_eight_get_what_predict_writes(running, photos, predicted):
    def answer(number: int) -> bytes:
        path = "/predict?labels=clusters"
        return ask(running.port, path, photos[number % len(photos)], JPEG).body

    assert [answer(number) for number in range(len(photos))] == predicted
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = list(pool.map(answer, range(24)))
    for number, body in enumerate(found):  # each on one thread, not on all of them
        assert equal_pixels(body, predicted[number % len(photos)]) > 0.999
    counted = ask(running.port, "/metrics").body.decode()
    assert 'raynef_serve_batch_size_bucket{le="1.0"} 28.0' not in counted  # some came together


def equal_pixels(one: bytes, other: bytes) -> float:
    maps = [np.asarray(Image.open(BytesIO(png))) for png in (one, other)]
    return float((maps[0] == maps[1]).mean())


def test_ten_thousand_malformed_requests_leave_it_healthy(running, photos):
    before = running.replicas()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        statuses = list(pool.map(lambda n: attack(running.port, n, photos[0]), range(ATTACKS)))
    assert not {status for status in statuses if status and status >= 500}
    assert {None, 400, 413, 415, 422} <= set(statuses)
    running.wait_until_healthy(10)
    assert running.replicas() == before
    assert ask(running.port, "/predict", photos[0], JPEG).status == 200
    assert "Traceback" not in running.log.read_text()


def test_a_replica_that_dies_is_replaced(running, photos):
    (replica,) = running.replicas()
    os.kill(replica, signal.SIGKILL)
    statuses = {ask(running.port, "/predict", photos[0], JPEG).status for _ in range(3)}
    assert statuses <= {200, 503}
    running.wait_until_healthy()
    assert ask(running.port, "/predict", photos[0], JPEG).status == 200
    assert running.replicas() != [replica]


def test_ctrl_c_ends_it_in_seconds(running):
    before = running.below()
    assert any("raylet" in title for title in before.values())
    told = time.monotonic()
    running.process.send_signal(signal.SIGINT)
    out, _ = running.process.communicate(timeout=60)
    assert time.monotonic() - told < 20
    assert running.process.returncode == 0
    assert json.loads(out)["num_images"] > 28
    assert "Traceback" not in running.log.read_text()
    end = time.monotonic() + 10
    while alive := [pid for pid in before if Path("/proc", str(pid)).exists()]:
        assert time.monotonic() < end, alive
        time.sleep(0.1)


def test_another_host_demands_its_token(run_here, tmp_path):
    """As far as the line that says it listens: the token is on stderr once."""
    environment = {**os.environ, TOKEN: ""}
    command = [sys.executable, "-m", "raynef", "serve", str(run_here[0])]
    process = subprocess.Popen(
        [*command, "--port", "0", "--host", "0.0.0.0"],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    )
    lines = []
    for line in present(process.stderr):
        lines.append(line)
        if "/docs describes" in line:
            break
    (token,) = [line.split()[-1] for line in lines if line.startswith("token")]
    port = int(lines[-1].rpartition("/docs")[0].rpartition(":")[2])
    assert ask(port, "/legend").status == 401
    assert ask(port, "/legend", headers={"Authorization": f"Bearer {token}"}).status == 200
    process.send_signal(signal.SIGTERM)
    _, rest = process.communicate(timeout=60)
    assert process.returncode == 0
    assert token not in rest
