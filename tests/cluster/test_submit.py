"""raynef submit on a real head: its own process, its own token, jobs that really run."""

import json
import os
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from ray.job_submission import JobSubmissionClient

import raynef
from raynef.demo.scenes import write_scenes
from raynef.stores.run import git_commit
from tests.tiny import shrink

RECIPE = """
data: {short_side: 64, crop: 64, scale: [0.8, 1.5], num_views: 1}
graph: {num_neighbors: 12}
eigen: {num_eigenfunctions: 12}
train: {batch_size: 5, epochs: 1}
"""


@dataclass(frozen=True)
class Head:
    """A head that runs, and how to speak to it."""

    address: str
    token: str
    env: dict[str, str]

    def client(self) -> JobSubmissionClient:
        return JobSubmissionClient(self.address, headers={"Authorization": f"Bearer {self.token}"})


@pytest.fixture(scope="module")
def head(tmp_path_factory) -> Iterator[Head]:
    home = tmp_path_factory.mktemp("home")
    # Not among pytest's own, whose names are long: a socket's path has 107 bytes at most.
    temp = tempfile.mkdtemp(prefix="raynef-")
    token = secrets.token_hex(32)
    env = {name: v for name, v in os.environ.items() if not name.startswith(("RAY_", "PYTHONPATH"))}
    env |= {"HOME": str(home), "RAY_USAGE_STATS_ENABLED": "0"}
    for patience in ("DASHBOARD_STARTUP_TIMEOUT_S", "raylet_start_wait_time_s"):
        env[f"RAY_{patience}"] = "300"  # of a busy machine
    env["PATH"] = f"{Path(sys.executable).parent}:{env['PATH']}"
    dashboard, client = free_port(), free_port()
    # Not the default port of the agent, which a Ray beside this one may have: without its agent a
    # head takes no jobs.
    options = ["--port=0", f"--ray-client-server-port={client}", "--dashboard-agent-listen-port=0"]
    options += [f"--dashboard-port={dashboard}", "--dashboard-host=127.0.0.1", "--num-cpus=4"]
    running = subprocess.Popen(
        ["ray", "start", "--head", "--block", *options, f"--temp-dir={temp}"],
        env={**env, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token},
        cwd=home,
        stdout=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{dashboard}"
    try:
        _wait_for(address, running)
        yield Head(address, token, env)
    finally:
        running.terminate()
        running.wait(timeout=60)
        shutil.rmtree(temp, ignore_errors=True)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def _wait_for(address: str, running: subprocess.Popen) -> None:
    """Until the dashboard answers, if only to ask for a token."""
    while running.poll() is None:
        try:
            if requests.get(f"{address}/api/jobs/", timeout=5).status_code == 401:
                return
        except requests.ConnectionError:
            pass
        time.sleep(0.5)
    raise RuntimeError("the head did not start")


@pytest.fixture(scope="module")
def sample(tmp_path_factory) -> Path:
    return shrink(write_scenes(tmp_path_factory.mktemp("sample"), num_train=10, num_val=2))


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "raynef", "submit", *arguments]


def submit(head: Head, *arguments: str, token: str | None = None, cwd: Path | None = None):
    """A finished ``raynef submit``, from this checkout."""
    env = {**head.env, "PYTHONPATH": str(Path(raynef.__file__).parents[1])}
    if token != "":
        env["RAY_AUTH_TOKEN"] = token or head.token
    arguments = ("--address", head.address, *arguments)
    return subprocess.run(
        command(*arguments), env=env, cwd=cwd, capture_output=True, text=True, check=False
    )


def test_status_and_json_line_come_back(head, sample):
    done = submit(head, "--", "data", "check", "folder", "--data.root", str(sample))
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    assert json.loads(line)["ok"] is True
    assert "Traceback" not in done.stderr
    assert "WebSocket" not in done.stderr
    assert line not in done.stderr


def test_a_mistake_that_the_job_finds_is_a_2(head):
    done = submit(head, "--", "data", "check", "folder", "--data.root", "/nowhere")
    assert (done.returncode, done.stdout) == (2, "")
    assert "/nowhere" in done.stderr


def test_a_training_with_a_recipe_of_ours(head, sample, tmp_path):
    (tmp_path / "mine.yaml").write_text(RECIPE, encoding="utf-8")
    options = ["--recipe", "folder", "mine.yaml", "--data.root", str(sample)]
    run = tmp_path / "run"
    done = submit(head, "--", "train", *options, "--out", str(run), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["run"] == str(run)
    record = json.loads((run / "run.json").read_text())
    assert record["recipe"]["eigen"]["num_eigenfunctions"] == 12
    assert record["environment"]["git_commit"] == git_commit()  # of the package that went along
    assert "starting an embedded Ray" not in done.stderr


def _heed_ctrl_c() -> None:
    """What a shell starts in its background ignores it, and so would what that starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_ctrl_c_leaves_a_job_that_can_be_stopped(head, sample, tmp_path):
    (tmp_path / "mine.yaml").write_text(RECIPE, encoding="utf-8")
    options = ["--recipe", "folder", "mine.yaml", "--data.root", str(sample)]
    options += ["--train.epochs", "100000", "--out", str(tmp_path / "run")]
    env = {**head.env, "RAY_AUTH_TOKEN": head.token}
    env["PYTHONPATH"] = str(Path(raynef.__file__).parents[1])
    running = subprocess.Popen(
        command("--address", head.address, "--", "train", *options),
        env=env,
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=_heed_ctrl_c,
    )
    assert running.stderr is not None
    for line in running.stderr:
        if "train worker(s)" in line:
            break
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert (running.returncode, out) == (1, "")
    (job,) = {word for word in err.split() if word.startswith("raynef-")}
    assert f"ray job stop {job} --address {head.address}" in err
    client = head.client()
    assert client.get_job_status(job) == "RUNNING"
    client.stop_job(job)
    for _ in range(60):
        if client.get_job_status(job).is_terminal():
            break
        time.sleep(1)
    assert client.get_job_status(job) == "STOPPED"


@pytest.mark.parametrize(
    ("token", "message"),
    [("", "asks for a token, and there is none"), ("wrong", "does not accept the token")],
)
def test_who_has_no_token_is_sent_home(head, token, message):
    done = submit(head, "--", "data", "check", "folder", "--data.root", "/x", token=token)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_ray_job_submit_works_too(head, sample):
    package = json.dumps({"py_modules": [str(Path(raynef.__file__).parent)]})
    options = ["--address", head.address, "--runtime-env-json", package]
    entry = ["python", "-m", "raynef", "data", "check", "folder", "--data.root", str(sample)]
    done = subprocess.run(
        ["ray", "job", "submit", *options, "--", *entry],
        env={**head.env, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": head.token},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert '"ok": true' in done.stdout


def test_an_embedded_ray_takes_the_token_that_we_make(head, sample, tmp_path):
    env = {**head.env, "HOME": str(tmp_path)}
    env["PYTHONPATH"] = str(Path(raynef.__file__).parents[1])
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "raynef",
            "data",
            "check",
            "folder",
            "--ray",
            "--data.root",
            str(sample),
        ],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    token = tmp_path / ".ray/auth_token"
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    assert len(token.read_text()) == 64
