"""The command line: quick help, one clear message a mistake, flags over presets."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import raynef
from raynef.cli.command import RecipeCommand
from raynef.cli.commands import COMMANDS, parse, read
from raynef.cli.evaluate import Evaluate
from raynef.cli.main import _plain, main
from raynef.cli.predict import Predict
from raynef.cli.train import Train
from raynef.cluster.causes import cause_within
from raynef.config.presets import load_preset
from raynef.config.recipe import Data, Recipe, from_dict, to_dict
from raynef.core.errors import BadImageError, NonFiniteLossError, UserError
from tests.known import a


def run(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "raynef", *arguments], capture_output=True, text=True, check=False
    )


def fails(capsys, *arguments: str) -> tuple[int, str]:
    """Exit status and stderr of a command that must say nothing on stdout."""
    with pytest.raises(SystemExit) as exit_:
        main(list(arguments))
    said = capsys.readouterr()
    assert said.out == ""
    assert "Traceback" not in said.err
    return a(int, exit_.value.code), " ".join(said.err.split())


def config_of(*arguments: str) -> Recipe:
    """The recipe that a command line asks for."""
    return a(RecipeCommand, parse(arguments)).config


# ------------------------------------------------------------------------------------------ help


def test_help_is_quick():
    """Median of three in seconds of its processor: a busy machine makes no difference."""
    seconds = []
    for _ in range(3):
        before = os.times()
        done = run("--help")
        after = os.times()
        assert done.returncode == 0
        assert done.stderr == ""
        assert all(command in done.stdout for command in COMMANDS)
        used = after.children_user + after.children_system
        seconds.append(used - before.children_user - before.children_system)
    assert sorted(seconds)[1] < 0.5


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["train", "--help"],
        ["evaluate", "--help"],
        ["data", "check", "--help"],
        ["doctor", "--help"],
    ],
)
def test_help_imports_neither_torch_nor_ray(arguments):
    code = (
        "import sys\n"
        "from raynef.cli.main import main\n"
        "try:\n"
        f"    main({arguments!r})\n"
        "except SystemExit as exit_:\n"
        "    print(*sys.modules, file=sys.stderr)\n"
        "    raise\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules = set(done.stderr.split())
    assert "raynef.cli.main" in modules
    assert not modules & {"torch", "ray", "timm", "scipy", "pyarrow"}


@pytest.mark.parametrize(
    "flag",
    [
        "--graph.alpha",
        "--eigen.beta",
        "--eigen.num-eigenfunctions",
        "--graph.num-neighbors",
        "--train.batch-size",
        "--train.num-workers",
        "--train.epochs",
        "--train.seed",
        "--backbone.name",
        "--backbone.weights",
        "--backbone.tap",
        "--data.name",
        "--data.root",
        "--recipe",
        "--out",
        "--logger",
        "--mlflow",
        "--wandb",
    ],
)
def test_help_of_train_names_each_flag(flag, capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["train", "--help"])
    assert exit_.value.code == 0
    assert flag in capsys.readouterr().out.split()


# -------------------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "evaluate"),
        (["frobnicate"], "frobnicate"),
        (["train"], "--out"),
        (["train", "--out", "RUN", "--train.epoch", "3"], "--train.epoch"),
        (["train", "--out", "RUN", "--nonsense", "3"], "--nonsense"),
        (["train", "--out", "RUN", "--train.epochs", "abc"], "--train.epochs"),
        (["train", "--out", "RUN", "--train.epochs", "0"], "train.epochs must be >= 1, got 0"),
        (["train", "--out", "RUN", "--train.lr", "inf"], "train.lr must be finite, got inf"),
        (["train", "--out", "RUN", "--evaluate.match", "best"], "best"),
        (["train", "--out", "RUN", "--data.scale", "1"], "--data.scale"),
        (["train", "--out", "RUN", "--recipe", "nope"], "neither a .yaml file nor one of "),
        (["train", "--out", "RUN", "--recipe", "folder", "nope"], "nor a backbone: clip_b16"),
        (["train", "--out", "RUN", "--recipe", "no.yaml"], "recipe no.yaml cannot be read"),
        (["train", "--out", "RUN", "--recipe", "BAD.yaml"], "did you mean graph.alpha?"),
        (["extract", "--out", "RUN", "--recipe", "nope"], "neither a .yaml file nor one of "),
        (["evaluate", "RUN"], "RUN is not a raynef run: run.json not found"),
        (["evaluate", "RUN", "--data.root", "x"], "RUN is not a raynef run"),
        (["report", "RUN"], "RUN is not a raynef run"),
        (["predict", "RUN"], "--out"),
        (["data"], "check"),
        (["data", "check", "folder"], "--data.root"),
        (["data", "check", "foldr", "--data.root", "."], "did you mean folder?"),
    ],
)
def test_a_mistake_is_one_clear_message(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("BAD.yaml").write_text("graph: {alhpa: 1}\n", encoding="utf-8")
    status, said = fails(capsys, *arguments)
    assert status == 2
    assert message in said
    assert said.count("raynef: ") <= 1
    assert [path.name for path in tmp_path.iterdir()] == ["BAD.yaml"]  # nothing was begun


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--out", "RUN"], "data.root is not set"),
        (["train", "--out", "RUN", "--data.root", "none"], "none' is not a folder"),
        (["train", "--out", "RUN", "--data.root", "empty"], "no image under"),
        (["extract", "--out", "RUN", "--data.root", "none"], "none' is not a folder"),
        (["predict", "RUN", "x.jpg", "--out", "OUT"], "RUN holds no segmenter"),
        (["data", "check", "folder", "--data.root", "none"], "none' is not a folder"),
        (["data", "check", "voc2012", "--data.root", "empty"], "does not hold the data set"),
    ],
)
def test_missing_data_is_one_clear_message(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    status, said = fails(capsys, *arguments)
    assert status == 2
    assert message in said
    assert said.count("raynef: ") == 1


def test_as_a_process(tmp_path):
    done = run("evaluate", str(tmp_path))
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == f"raynef: {tmp_path} is not a raynef run: run.json not found\n"


# ----------------------------------------------------------------------------- flags and presets


def test_flags_override_a_preset():
    base = load_preset("folder")
    flags = (
        "--graph.alpha 0.5 --graph.num-neighbors 8 --graph.pixel-neighbors 4 1.5 3 0.2",
        "--eigen.beta 0.08 --eigen.num-eigenfunctions 32 --backbone.tap keys",
        "--train.batch-size 4 --train.num-workers 2 --train.epochs 3 --train.seed 7",
        "--data.scale 1 1 --data.no-photometric",
    )
    args = parse(["train", "--out", "RUN", "--recipe", "folder", *" ".join(flags).split()])
    assert isinstance(args, Train)
    assert args.out == Path("RUN")
    config = to_dict(args.config)
    expected = to_dict(base)
    expected["graph"] |= {"alpha": 0.5, "num_neighbors": 8}
    expected["graph"] |= {"pixel_neighbors": [[4, 1.5], [3, 0.2]]}
    expected["eigen"] |= {"beta": 0.08, "num_eigenfunctions": 32}
    expected["train"] |= {"batch_size": 4, "num_workers": 2, "epochs": 3, "seed": 7}
    expected["data"] |= {"scale": [1.0, 1.0], "photometric": False}
    expected["backbone"]["tap"] = "keys"
    assert config == expected


def test_without_flags_a_preset_is_what_it_says():
    assert config_of("train", "--out", "RUN") == load_preset("folder")
    assert config_of("train", "--out", "RUN", "--recipe", "demo") == load_preset("demo")
    assert config_of("demo") == load_preset("demo")
    assert load_preset("demo") != load_preset("folder")


@pytest.mark.parametrize("command", ["train", "extract", "baseline kmeans", "baseline probe"])
def test_presets_lie_over_one_another_below_flags(command, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("train: {epochs: 3, lr: 0.01}\n", encoding="utf-8")
    flags = ["--recipe", "pascal_context", "dino_s16", str(path), "--train.epochs", "4"]
    config = config_of(*command.split(), "--out", "RUN", *flags)
    assert config.data == load_preset("pascal_context").data
    assert config.backbone == load_preset("dino_s16").backbone
    assert (config.train.epochs, config.train.lr) == (4, 0.01)


def test_flags_override_a_file(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("graph: {alpha: 0.7, num_neighbors: 9}\ntrain: {epochs: 5}\n", encoding="utf-8")
    config = config_of("extract", "--out", "S", "--recipe", str(path), "--graph.alpha", "0.1")
    assert (config.graph.alpha, config.graph.num_neighbors, config.train.epochs) == (0.1, 9, 5)


def test_a_flag_that_repeats_the_default_overrides_too(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("graph: {alpha: 0.7}\n", encoding="utf-8")
    config = config_of("train", "--out", "R", "--recipe", str(path), "--graph.alpha", "0.3")
    assert config.graph.alpha == Recipe().graph.alpha == 0.3


def test_paths_are_absolute_and_words_stay(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    flags = ["--data.root", "d", "--backbone.weights", "w.pt", "--train.store", "s"]
    config = config_of("train", "--out", "RUN", *flags)
    assert config.data.root == str(tmp_path / "d")
    assert config.backbone.weights == str(tmp_path / "w.pt")
    assert config.train.store == str(tmp_path / "s")
    for word in ("hub", "bundled"):
        config = config_of("train", "--out", "RUN", "--backbone.weights", word)
        assert config.backbone.weights == word


def test_evaluate_starts_from_the_runs_own_recipe(tmp_path):
    recipe = from_dict(
        {
            "data": {"root": "/images", "val_split": "test", "crop": 96},
            "evaluate": {"short_side": 123, "match": "count"},
        }
    )
    record = {"recipe": to_dict(recipe)}
    (tmp_path / "run.json").write_text(json.dumps(record), encoding="utf-8")
    args = parse(["evaluate", str(tmp_path)])
    assert isinstance(args, Evaluate)
    assert (args.run, args.data, args.evaluate) == (tmp_path, recipe.data, recipe.evaluate)
    flags = ["--data.root", "other", "--evaluate.match", "iou"]
    args = a(Evaluate, parse(["evaluate", str(tmp_path), *flags]))
    assert (args.data.root, args.data.val_split, args.data.crop) == ("other", "test", 96)
    assert (args.evaluate.short_side, args.evaluate.match) == (123, "iou")


def test_evaluate_lays_presets_over_the_runs_own_recipe(tmp_path, capsys):
    recipe = from_dict({"data": {"root": "/images"}, "evaluate": {"match": "count"}})
    record = {"recipe": to_dict(recipe)}
    (tmp_path / "run.json").write_text(json.dumps(record), encoding="utf-8")
    flags = ["--recipe", "sliding_pascal_context", "dino_s16"]
    args = a(Evaluate, parse(["evaluate", str(tmp_path), *flags, "--evaluate.window", "384"]))
    assert (args.data.name, args.data.root) == ("pascal_context_60", "/images")
    found = (args.evaluate.protocol, args.evaluate.short_side, args.evaluate.window)
    assert found == ("sliding", 520, 384)
    assert args.evaluate.match == "count"  # no preset says otherwise
    args = a(Evaluate, parse(["evaluate", str(tmp_path), *flags, "--data.root", "other"]))
    assert args.data.root == "other"
    status, said = fails(capsys, "evaluate", str(tmp_path), "--recipe", "nope")
    assert status == 2
    assert "neither a .yaml file nor one of " in said


def test_predict_takes_what_it_is_given():
    args = parse(["predict", "RUN", "x.jpg", "--out", "OUT", "--address", "ray://head:10001"])
    assert args == Predict(run=Path("RUN"), source="x.jpg", out="OUT", address="ray://head:10001")
    args = parse(["predict", "RUN", "s3://bucket/a b?region=r", "--out", "OUT"])
    assert args == Predict(run=Path("RUN"), source="s3://bucket/a b?region=r", out="OUT")


@pytest.mark.parametrize(
    ("root", "expected"),
    [
        ("s3://bucket/set/?region=r", "s3://bucket/set?region=r"),
        ("fsspec+memory:///my set", "fsspec+memory:///my%20set"),
        ("~/a/../set", "HOME/set"),
        ("../set", "HOME/set"),
    ],
)
def test_an_address_is_no_path(root, expected, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("HOME", str(tmp_path))
    config = config_of("train", "--out", "RUN", "--data.root", root)
    assert config.data.root == expected.replace("HOME", str(tmp_path))


# --------------------------------------------------------------------------- results and failures


class Wrapped(Exception):
    """Stands for Ray's exceptions: a cause that is an attribute, and failures by rank."""

    def __init__(self, *, cause=None, worker_failures=None):
        super().__init__("wrapped")
        self.cause = cause
        self.worker_failures = worker_failures or {}


class FromRay(UserError):
    """Ray's wrapper of a UserError is one itself, but its text is a traceback."""

    __module__ = "ray.exceptions"
    cause: Exception | None = None

    def with_cause(self, cause: Exception) -> "FromRay":
        self.cause = cause
        return self


def chained(error: Exception, cause: Exception | None, context: Exception | None) -> Exception:
    error.__cause__, error.__context__ = cause, context
    return error


def circle() -> Exception:
    one, two = ValueError("one"), ValueError("two")
    one.__cause__, two.__context__ = two, one
    return one


MISTAKE = UserError("data.root is wrong")


@pytest.mark.parametrize(
    ("error", "found"),
    [
        (MISTAKE, MISTAKE),
        (Wrapped(cause=MISTAKE), MISTAKE),
        (Wrapped(worker_failures={0: KeyError("x"), 1: MISTAKE}), MISTAKE),
        (Wrapped(worker_failures={1: Wrapped(cause=Wrapped(cause=MISTAKE))}), MISTAKE),
        (chained(RuntimeError(), MISTAKE, None), MISTAKE),
        (chained(RuntimeError(), None, MISTAKE), None),  # another failure while that was handled
        (FromRay("a traceback").with_cause(MISTAKE), MISTAKE),
        (FromRay("a traceback"), None),
        (ValueError("not the user's"), None),
        (Wrapped(cause="data.root is wrong"), None),
        (circle(), None),
    ],
)
def test_the_cause_within(error, found):
    assert cause_within(error, UserError) is found


@pytest.mark.parametrize(
    ("raised", "status", "message", "traceback"),
    [
        (MISTAKE, 2, "raynef: data.root is wrong", False),
        (Wrapped(cause=MISTAKE), 2, "raynef: data.root is wrong", False),
        (Wrapped(cause=NonFiniteLossError("step 3")), 1, "raynef: step 3", False),
        (Wrapped(cause=OSError(28, "No space left on device")), 1, "No space left", False),
        (Wrapped(cause=ZeroDivisionError("ours")), 1, "Traceback", True),
        (BadImageError("empty file"), 2, "raynef: empty file", False),
        (NonFiniteLossError("step 3, rank 1"), 1, "raynef: step 3, rank 1", False),
        (KeyboardInterrupt(), 1, "raynef: interrupted", False),
        (OSError(28, "No space left on device"), 1, "No space left on device", False),
        (ZeroDivisionError("a fault of ours"), 1, "ZeroDivisionError: a fault of ours", True),
    ],
)
def test_exit_status_and_message(raised, status, message, traceback, capsys, monkeypatch):
    def fail(args):
        raise raised

    monkeypatch.setattr("raynef.cli.report.Report.execute", fail)
    with pytest.raises(SystemExit) as exit_:
        main(["report", "RUN"])
    said = capsys.readouterr()
    assert exit_.value.code == status
    assert said.out == ""
    assert message in said.err
    assert ("Traceback" in said.err) == traceback


def test_what_others_print_is_no_result(capsys, monkeypatch):
    """As Ray does, which prints its warnings to stdout."""

    def work(args):
        sys.stdout.write("(raylet) WARNING: 8 PYTHON worker processes have been started\n")
        return {"run": "x"}

    monkeypatch.setattr("raynef.cli.report.Report.execute", work)
    with pytest.raises(SystemExit):
        main(["report", "x"])
    out, err = capsys.readouterr()
    assert json.loads(out) == {"run": "x"}
    assert "(raylet) WARNING" in err


def test_the_result_is_one_line_of_json(capsys, monkeypatch):
    result = {"miou": float("nan"), "iou": {"straße": 0.5, "x": float("inf")}, "run": Path("a/b")}
    monkeypatch.setattr(
        "raynef.cli.report.Report.execute", lambda args: {**result, "sizes": (1, 2.5)}
    )
    with pytest.raises(SystemExit) as exit_:
        main(["report", "RUN"])
    said = capsys.readouterr()
    assert exit_.value.code == 0
    assert said.err == ""
    assert said.out.count("\n") == 1
    assert json.loads(said.out) == {
        "miou": None,
        "iou": {"straße": 0.5, "x": None},
        "run": "a/b",
        "sizes": [1, 2.5],
    }
    assert "straße" in said.out


def on_a_terminal(monkeypatch) -> None:
    """Let stdout and stderr be one, without colors."""
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    for stream in (sys.stdout, sys.stderr):
        monkeypatch.setattr(stream, "isatty", lambda: True)


@pytest.mark.parametrize(
    ("arguments", "is_json"),
    [
        (["report", "RUN"], False),
        (["report", "RUN", "--json"], True),
        (["--json", "report", "RUN"], True),
    ],
)
def test_on_a_terminal_the_result_is_a_table(arguments, is_json, capsys, monkeypatch):
    on_a_terminal(monkeypatch)
    monkeypatch.setattr("raynef.cli.report.Report.execute", lambda args: {"run": "a", "miou": 0.5})
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 0
    said = capsys.readouterr().out
    if is_json:
        assert json.loads(said) == {"run": "a", "miou": 0.5}
    else:
        assert [line.split() for line in said.splitlines()] == [["run", "a"], ["mIoU", "50.0", "%"]]


def test_a_command_that_says_its_result_prints_no_table(capsys, monkeypatch):
    on_a_terminal(monkeypatch)
    monkeypatch.setattr("raynef.cli.status.Status.execute", lambda args: {"kind": "run"})
    with pytest.raises(SystemExit):
        main(["status", "RUN"])
    assert capsys.readouterr().out == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False)  # what it says is elsewhere
    with pytest.raises(SystemExit):
        main(["status", "RUN"])
    assert capsys.readouterr().out.split() == ["kind", "run"]


@pytest.mark.parametrize("name", COMMANDS)
def test_json_is_a_flag_of_every_command(name, capsys):
    with pytest.raises(SystemExit):
        read([*name.split(), "--help"])
    assert "--json" in capsys.readouterr().out


def test_json_goes_with_submit_and_not_with_its_job():
    command = read(["--json", "submit", "--", "status", "/run"])
    assert command.json


@pytest.mark.parametrize(("ok", "status"), [(True, 0), (False, 1)])
def test_a_check_that_found_problems_says_so_by_its_status(ok, status, capsys, monkeypatch):
    asked = []

    def check_data(data, *, address):
        asked.append((data, address))
        return {"ok": ok, "problems": []}

    monkeypatch.setattr("raynef.jobs.check.check_data", check_data)
    flags = ["--data.root", "s3://bucket/voc", "--data.val-split", "test"]
    with pytest.raises(SystemExit) as exit_:
        main(["data", "check", "voc2012", *flags, "--data.max-bad-fraction", "0.5"])
    assert exit_.value.code == status
    assert json.loads(capsys.readouterr().out) == {"ok": ok, "problems": []}
    expected = Data(name="voc2012", root="s3://bucket/voc", val_split="test", max_bad_fraction=0.5)
    assert asked == [(expected, None)]


def test_plain_keeps_what_json_has():
    value = {"a": [1, 2.5, None, True, "x"], "b": {}}
    assert _plain(value) == value


def test_main_leaves_no_handler_behind(capsys):
    import logging

    before = list(logging.getLogger("raynef").handlers)
    for _ in range(2):
        fails(capsys, "report", "no-such-run")
    assert logging.getLogger("raynef").handlers == before


def test_an_unreadable_image_to_predict_is_named(capsys, tmp_path):
    """A segmenter's folder that is none, given a file that is an image."""
    Image.fromarray(np.zeros((2, 2), np.uint8)).save(tmp_path / "x.png")
    (tmp_path / "RUN").mkdir()
    arguments = [str(tmp_path / "RUN"), str(tmp_path / "x.png"), "--out", str(tmp_path / "OUT")]
    status, said = fails(capsys, "predict", *arguments)
    assert status == 2
    assert f"{tmp_path / 'RUN'} holds no segmenter" in said
    assert not list((tmp_path / "OUT").glob("[!.]*"))


# ------------------------------------------------------------------------------- names of commands


def test_help_lists_every_command(capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["--help"])
    assert exit_.value.code == 0
    said = capsys.readouterr().out
    for name in COMMANDS:
        assert f"\n  {name} " in said


def test_help_of_a_group_lists_its_own(capsys):
    with pytest.raises(SystemExit):
        main(["spectral", "--help"])
    said = capsys.readouterr().out
    assert "spectral eigen" in said
    assert "baseline" not in said


@pytest.mark.parametrize(("preset", "says"), [("folder", True), ("dinov2_s", False)])
def test_training_with_the_small_backbone_says_so(tmp_path, caplog, preset, says):
    flags = ["--recipe", *dict.fromkeys(("folder", preset)), "--data.root", str(tmp_path / "none")]
    command = parse(["train", *flags, "--out", str(tmp_path / "run"), "--seeds", "0", "1"])
    with caplog.at_level(logging.INFO, logger="raynef"), pytest.raises(UserError):
        command.execute()
    said = caplog.text.count("--recipe folder dinov2_s takes DINOv2's ViT-S/14")
    assert said == (1 if says else 0)


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        ([], ("tensorboard",)),
        (["--logger", "none"], ()),
        (["--logger", "tensorboard", "mlflow"], ("tensorboard", "mlflow")),
        (["--mlflow", "http://server"], ("tensorboard", "mlflow")),
        (["--logger", "none", "--mlflow", "http://server"], "logger none contradicts mlflow"),
        (["--logger", "wandb"], r"pip install 'raynef\[wandb\]'"),
    ],
)
def test_a_training_is_handed_its_loggers(tmp_path, monkeypatch, flags, names):
    handed = []
    installed = ("tensorboardX", "mlflow")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name in installed or None)
    monkeypatch.setattr("raynef.cli.train.train_and_report", lambda *_, **o: handed.append(o))
    command = parse(["train", "--data.root", str(tmp_path), "--out", str(tmp_path / "r"), *flags])
    if isinstance(names, str):
        with pytest.raises(UserError, match=names):
            command.execute()
    else:
        command.execute()
        assert [one["logged_by"].names for one in handed] == [names]


def test_an_unknown_logger_is_named(capsys):
    status, said = fails(capsys, "train", "--out", "RUN", "--logger", "tensorbord")
    assert status == 2
    assert "tensorbord" in said


def test_the_version_is_one_line(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert (ended.value.code, capsys.readouterr().out) == (0, f"raynef {raynef.__version__}\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "raynef: which command? There are: demo, train,"),
        (["tarin"], "raynef: no command 'tarin'; did you mean train?"),
        (["xyzzy"], "raynef: no command 'xyzzy'; there are: demo, train,"),
        (["baseline"], "raynef: baseline: which method? There are: kmeans, spectral, kmeans-psi,"),
        (["data"], "raynef: data: which tool? There is: check"),
        (["spectral", "eigne"], "raynef: spectral: no method 'eigne'; did you mean eigen?"),
    ],
)
def test_a_wrong_name_is_one_line(arguments, message, capsys):
    status, said = fails(capsys, *arguments)
    assert status == 2
    assert said.startswith(message)


def test_what_follows_two_dashes_is_not_dropped(capsys):
    """Only a command that takes a rest may have one."""
    with pytest.raises(SystemExit) as exit_:
        parse(["status", "RUN", "--", "--address", "x"])
    assert exit_.value.code == 2
    assert "--address" in capsys.readouterr().err


@pytest.mark.parametrize("name", COMMANDS)
def test_each_name_leads_to_a_command_with_a_text_of_its_own(name, capsys):
    with pytest.raises(SystemExit) as exit_:
        read([*name.split(), "--help"])
    assert exit_.value.code == 0
    assert f"usage: raynef {name} " in capsys.readouterr().out


@pytest.mark.parametrize("line", [["train", "--help"], ["status", "RUN"]])
def test_whoever_reads_may_stop(line, run_here):
    """As ``raynef train --help | head`` does."""
    reads, writes = os.pipe()
    os.close(reads)
    line = [str(run_here[0]) if word == "RUN" else word for word in line]
    command = [sys.executable, "-m", "raynef", *line]
    ended = subprocess.run(command, stdout=writes, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writes)
    assert ended.returncode == 141
    assert "pipe" not in ended.stderr.lower()
