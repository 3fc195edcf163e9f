"""raynef submit: what it refuses before anything is sent, and what it makes of a job's end."""

import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from raynef.cli.commands import parse, read
from raynef.cli.main import main
from raynef.cli.submit import Submit, ask_to_stop, refuse_local_paths, refuse_own_address
from raynef.core.errors import UserError
from raynef.ops import submit as module
from tests.known import a

TRAIN = ["train", "--data.root", "/mnt/images", "--out", "/mnt/run"]
RESULT = '{"ok": true, "run": "/mnt/run"}'


class Status(str):
    """As Ray's: a word that knows whether it is the last."""

    value = property(str.__str__)

    def is_terminal(self) -> bool:
        return self in ("SUCCEEDED", "FAILED", "STOPPED")


class Client:
    """A head with one job, whose log comes in pieces; an exception among them breaks it off."""

    def __init__(self, pieces=(), *, status="SUCCEEDED", code=0, message=""):
        self.pieces, self.status, self.code, self.message = list(pieces), status, code, message
        self.submitted: dict = {}
        self.shipped: dict[str, str] = {}
        self.stopped = False
        self.refusals: list[str] = []

    def __call__(self, address, *, headers):
        self.address, self.headers = address, headers
        return self

    def submit_job(self, **job):
        if self.refusals:
            raise RuntimeError(self.refusals.pop())
        self.submitted = job
        folder = job["runtime_env"].get("working_dir")
        for path in Path(folder).iterdir() if folder else ():
            self.shipped[path.name] = path.read_text(encoding="utf-8")

    async def tail_job_logs(self, job_id):
        for piece in list(self.pieces):
            if isinstance(piece, BaseException):
                self.pieces.remove(piece)
                raise piece
            yield piece

    def get_job_info(self, job_id):
        done = SimpleNamespace(driver_exit_code=self.code, message=self.message)
        done.status = Status("STOPPED" if self.stopped else self.status)
        return done

    def stop_job(self, job_id):
        self.stopped = True


@pytest.fixture
def head(monkeypatch):
    """Puts a fake client where Ray's would be, behind a head that asks for a token."""

    def put(client: Client) -> Client:
        monkeypatch.setattr(module, "check_head", lambda address: {"Authorization": "Bearer t"})
        monkeypatch.setattr("ray.job_submission.JobSubmissionClient", client)
        monkeypatch.setattr(module, "_PAUSE_S", 0.0)
        monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://127.0.0.1:1")
        return client

    return put


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as exit_:
        main(["submit", *arguments])
    said = capsys.readouterr()
    return a(int, exit_.value.code), said.out, said.err


# ---------------------------------------------------------------------------------- the result


def test_log_result_and_status(head, capsys):
    client = head(Client(["Running\ntrain: 1/2 im", f"ages\n{RESULT[:9]}", RESULT[9:] + "\nbye\n"]))
    status, out, err = run(capsys, "--", *TRAIN)
    assert (status, out) == (0, RESULT + "\n")
    assert [line for line in err.splitlines() if "job" not in line] == [
        "Running",
        "train: 1/2 images",
        "bye",
    ]
    assert client.submitted["entrypoint"] == "python -m raynef " + " ".join(TRAIN)
    assert client.headers == {"Authorization": "Bearer t"}


def test_the_last_json_line_counts_and_an_earlier_one_is_said(head, capsys):
    head(Client(['{"a": 1}\n{not json}\n[1]\n', RESULT]))  # no newline at the end
    status, out, err = run(capsys, "--", *TRAIN)
    assert (status, out) == (0, RESULT + "\n")
    assert {'{"a": 1}', "{not json}", "[1]"} <= set(err.splitlines())


@pytest.mark.parametrize(
    ("job", "status"),
    [
        ({"status": "FAILED", "code": 2}, 2),
        ({"status": "FAILED", "code": 1}, 1),
        ({"status": "FAILED", "code": -9}, 137),
        ({"status": "FAILED", "code": None, "message": "no such environment"}, 1),
        ({"status": "STOPPED", "code": None, "message": "stopped by you"}, 1),
    ],
)
def test_the_exit_status_is_the_jobs_own(head, capsys, job, status):
    head(Client(["raynef: data.root is not set\n"], **job))
    got, out, err = run(capsys, "--", *TRAIN)
    assert (got, out) == (status, "")
    assert "data.root is not set" in err
    assert job.get("message", "") in err


def test_a_failed_command_still_has_its_json_line(head, capsys):
    head(Client(['{"ok": false}\n'], status="FAILED", code=1))
    assert run(capsys, "--", *TRAIN)[:2] == (1, '{"ok": false}\n')


def test_a_log_that_breaks_off_is_taken_up_where_it_was(head, capsys):
    head(Client(["one\ntw", OSError("gone"), "o\nthree\n", RuntimeError("gone"), RESULT + "\n"]))
    status, out, err = run(capsys, "--", *TRAIN)
    assert (status, out) == (0, RESULT + "\n")
    assert [line for line in err.splitlines() if "job" not in line] == ["one", "two", "three"]


def test_a_head_that_is_lost_ends_it(head, capsys, monkeypatch):
    monkeypatch.setattr(module, "_PATIENCE", 3)
    head(Client([*[OSError("no route") for _ in range(9)]]))
    status, out, err = run(capsys, "--", *TRAIN)
    assert (status, out) == (1, "")
    assert "lost the head" in err
    assert "no route" in err


def test_a_head_that_has_only_just_started_is_waited_for(head, capsys):
    client = head(Client([RESULT]))
    client.refusals = ["500: No available agent to submit job, please try again later."] * 3
    assert run(capsys, "--", *TRAIN)[:2] == (0, RESULT + "\n")


@pytest.mark.parametrize("reason", ["No available agent", "500: the disk is full"])
def test_a_head_that_takes_no_job_is_one_line(head, capsys, reason, monkeypatch):
    monkeypatch.setattr(module, "_STARTING_S", 0.0)
    client = head(Client([RESULT]))
    client.refusals = [reason] * 99
    status, out, err = run(capsys, "--", *TRAIN)
    assert (status, out) == (1, "")
    assert f"the head does not take the job: {reason}" in err
    assert "Traceback" not in err
    assert client.submitted == {}


# ----------------------------------------------------------------------------------- Ctrl-C


def test_ctrl_c_without_a_terminal_leaves_the_job_running(head, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    client = head(Client(["one\n", KeyboardInterrupt()]))
    status, out, err = run(capsys, "--", *TRAIN)
    assert (status, out, client.stopped) == (1, "", False)
    job = client.submitted["submission_id"]
    assert f"ray job logs --follow {job} --address http://127.0.0.1:1" in err
    assert f"ray job stop {job} --address http://127.0.0.1:1" in err


@pytest.mark.parametrize(("answer", "stopped"), [("y\n", True), ("n\n", False), ("", False)])
def test_ctrl_c_on_a_terminal_asks(head, capsys, monkeypatch, answer, stopped):
    terminal = io.StringIO(answer)
    terminal.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stdin", terminal)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    client = head(Client(["one\n", KeyboardInterrupt(), "two\n"]))
    status, out, err = run(capsys, "--", *TRAIN)
    assert (status, out, client.stopped) == (1, "", stopped)
    assert "Stop the job?" in err
    assert ("two" in err) == stopped  # followed to its end
    assert err.count("one") == 1


def test_a_second_ctrl_c_at_the_question_is_a_no(monkeypatch):
    def interrupt():
        raise KeyboardInterrupt

    terminal = SimpleNamespace(isatty=lambda: True, readline=interrupt)
    monkeypatch.setattr(sys, "stdin", terminal)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert ask_to_stop("") is False


# ----------------------------------------------------------------------------- what goes along


def test_the_package_and_named_recipes_go_along(head, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder, text in (("a", "graph: {alpha: 0.1}"), ("b", "graph: {alpha: 0.2}")):
        Path(folder).mkdir()
        Path(folder, "mine.yaml").write_text(text, encoding="utf-8")
    client = head(Client([RESULT]))
    status, _, _ = run(capsys, "--", *TRAIN, "--recipe", "folder", "a/mine.yaml", "b/mine.yaml")
    assert status == 0
    assert client.submitted["entrypoint"].endswith("--recipe folder mine.yaml mine-2.yaml")
    assert client.shipped == {
        "mine.yaml": "graph: {alpha: 0.1}",
        "mine-2.yaml": "graph: {alpha: 0.2}",
    }
    env = client.submitted["runtime_env"]
    assert Path(env["py_modules"][0], "cli", "main.py").is_file()
    assert "pip" not in env


def test_nothing_goes_along_when_told(head, capsys):
    client = head(Client([RESULT]))
    assert run(capsys, "--ship", "nothing", "--", *TRAIN)[0] == 0
    assert set(client.submitted["runtime_env"]) == {"env_vars"}


def test_the_environment_is_pinned_to_what_is_installed_here(head, capsys, monkeypatch):
    installed = {"torch": "2.15.0+cpu", "tyro": "0.9.2"}
    asked = ["torch>=2.5", "tyro", "ray[data]>=2.59", "wandb ; extra == 'wandb'"]
    monkeypatch.setattr("importlib.metadata.requires", lambda name: asked)
    monkeypatch.setattr("importlib.metadata.version", installed.__getitem__)
    client = head(Client([RESULT]))
    assert run(capsys, "--ship", "environment", "--", *TRAIN)[0] == 0
    assert client.submitted["runtime_env"]["pip"] == ["torch==2.15.0", "tyro==0.9.2"]


def test_a_working_directory_goes_along_whole(head, capsys, tmp_path):
    (tmp_path / "mine.yaml").write_text("{}", encoding="utf-8")
    (tmp_path / "weights.pt").write_bytes(b"")
    client = head(Client([RESULT]))
    options = ["--recipe", str(tmp_path / "mine.yaml"), "--backbone.weights", "weights.pt"]
    status, _, _ = run(capsys, "--working-dir", str(tmp_path), "--", *TRAIN, *options)
    assert status == 0
    assert client.submitted["runtime_env"]["working_dir"] == str(tmp_path)
    assert "--recipe mine.yaml --backbone.weights weights.pt" in client.submitted["entrypoint"]


def test_arguments_reach_the_shell_whole(head, capsys):
    client = head(Client([RESULT]))
    run(capsys, "--", "train", "--data.root", "/mnt/my images; rm x", "--out", "/mnt/$HOME")
    assert client.submitted["entrypoint"].endswith(
        "--data.root '/mnt/my images; rm x' --out '/mnt/$HOME'"
    )


# ------------------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "which command?"),
        (["--"], "which command?"),
        (["train"], "unrecognized"),
        (["--", "submit", "--", *TRAIN], "a job cannot submit"),
        (["--", "train", "--nonsense"], "--nonsense"),
        (["--", *TRAIN, "--address", "auto"], "leave --address out"),
        (["--", *TRAIN, "--recipe", "none.yaml"], "none.yaml is no file here"),
        (["--working-dir", "none", "--", *TRAIN], "none is not a folder"),
        (["--working-dir", "sub", "--", *TRAIN, "--recipe", "mine.yaml"], "lies outside"),
        (["--", "train", "--data.root", "images", "--out", "/mnt/run"], "data.root: images is a"),
        (["--", "train", "--data.root", "/mnt/images", "--out", "runs/a"], "out: runs/a is a rel"),
        (["--", "evaluate", "runs/a"], "run: runs/a is a relative path"),
        (["--", "predict", "/mnt/run", "photos", "--out", "/mnt/o"], "source: photos is a rel"),
        (["--", "demo"], "out: raynef-demo is a relative path"),
        (["--address", "127.0.0.1:6379", "--", *TRAIN], "must be that of the head's dashboard"),
        (["--address", "http://127.0.0.1:9", "--", *TRAIN], "no Ray head answers at http://127."),
    ],
)
def test_a_mistake_is_named_before_anything_is_sent(
    arguments, message, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text("{}", encoding="utf-8")
    Path("sub").mkdir()
    monkeypatch.setenv("RAY_AUTH_TOKEN", "t")
    monkeypatch.setattr("ray.job_submission.JobSubmissionClient", None)  # would fail otherwise
    status, out, err = run(capsys, *arguments)
    assert (status, out) == (2, "")
    assert message.lower() in " ".join(err.split()).lower()


@pytest.mark.parametrize(
    ("command", "locations"),
    [
        (
            "train --data.root /mnt/i --out /mnt/r --backbone.weights hub",
            {"/mnt/i": "mnt/i", "/mnt/r": "mnt/r", "hub": "hub.pt"},
        ),
        (
            "train --data.root s3://bucket/i --out /mnt/r --train.store /mnt/s",
            {"s3://bucket/i": "bucket/i", "/mnt/s": "s"},
        ),
        ("train --data.root ~/images --out /mnt/r", {"~/images": "images"}),
        ("tune alpha --roots folder=/mnt/i --out /mnt/s", {"/mnt/i": "i", "/mnt/s": "s"}),
        ("data check folder --data.root gs://b/i", {"gs://b/i": "b/i"}),
        ("spectral localize /mnt/store", {"/mnt/store": "store"}),
        (
            "distill --teacher t --teacher-weights hub --images /mnt/a /mnt/b --out /mnt/o",
            {"hub": "w.pt", "/mnt/a": "a", "/mnt/b": "b", "/mnt/o": "o"},
        ),
    ],
)
def test_what_the_cluster_can_see_passes(command, locations):
    """And not because nobody looks: each location, made relative, is refused."""
    asked = read(command.split())
    refuse_local_paths(asked)
    refuse_own_address(asked)
    for location, relative in locations.items():
        there = read(command.replace(location, relative).split())
        with pytest.raises(UserError, match=f": {relative} is a relative path"):
            refuse_local_paths(there)


@pytest.mark.parametrize(
    ("command", "named"),
    [
        ("train --data.root /i --out /r --backbone.weights w.pt", "backbone.weights: w.pt"),
        ("train --data.root /i --out /r --train.store s", "train.store: s"),
        ("tune alpha --roots folder=/i voc2012=there --out /s", "roots: there"),
        ("spectral eigen --data.root /i --out /s --features f", "features: f"),
        ("distill --teacher t --teacher-weights hub --images /a b --out /o", "images: b"),
        ("baseline kmeans-psi r", "run: r"),
        ("compare /c.yaml --out s3://bucket/o", "out: s3:/bucket/o"),
        ("report ~/r", "run: ~/r"),
    ],
)
def test_what_the_cluster_cannot_see_is_named(command, named):
    with pytest.raises(UserError, match=f"^{named} is a relative path"):
        refuse_local_paths(read(command.split()))


def test_a_folder_that_goes_along_is_read_and_never_written(tmp_path):
    (tmp_path / "w.pt").write_bytes(b"")
    (tmp_path / "r").mkdir()
    text = "train --data.root /i --out /r --backbone.weights w.pt"
    refuse_local_paths(read(text.split()), folder=tmp_path)
    with pytest.raises(UserError, match=r"^out: r is a relative path"):
        refuse_local_paths(read(["train", "--data.root", "/i", "--out", "r"]), folder=tmp_path)


def test_what_follows_the_dashes_is_left_as_it_is():
    job = parse(["submit", "--ship", "nothing", "--", "train", "--", "--address", "x"])
    assert isinstance(job, Submit)
    assert job.ship == "nothing"
    assert job.address is None
    assert job.command == ("train", "--", "--address", "x")


def test_results_are_whole_objects():
    log = module.Log(lambda line: None)
    log.feed(json.dumps({"a": "b\nc"}) + "\n")
    assert json.loads(log.result or "") == {"a": "b\nc"}
