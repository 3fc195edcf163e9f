"""Ray has what raynef needs beyond its public API, and ``cluster.private`` alone needs it."""

import ast
import importlib
import inspect
import json
import mmap
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import raynef
from raynef.cluster import private

PACKAGE = Path(raynef.__file__).parent
PRIVATE = PACKAGE / "cluster" / "private.py"


# ------------------------------------------------------------------------------- what Ray must have


@dataclass(frozen=True)
class Need:
    """One thing of Ray's, ``module:attribute.attribute``.

    Attributes:
        name: of it.
        parameters: names that it must take as keywords, where it is called.
        value: that it must have, if any.
        source: texts that must occur in the source of it.
    """

    name: str
    parameters: tuple[str, ...] = ()
    value: Any = None
    source: tuple[str, ...] = ()

    def missing(self) -> str | None:
        """What this Ray lacks of it, or None."""
        module, _, path = self.name.partition(":")
        try:
            found: Any = importlib.import_module(module)
        except ImportError as error:
            return f"Ray lacks the module {module} ({error})"
        for part in filter(None, path.split(".")):
            if not hasattr(found, part):
                return f"Ray lacks {self.name}: no {part} in {found!r}"
            found = getattr(found, part)
        if self.value is not None and found != self.value:
            return f"{self.name} is {found!r}, not {self.value!r}"
        if self.parameters:
            there = inspect.signature(found).parameters
            free = any(p.kind is p.VAR_KEYWORD for p in there.values())
            for name in self.parameters:
                if name not in there and not free:
                    return f"{self.name} takes no {name}, but {', '.join(there)}"
        for text in self.source:
            if text not in inspect.getsource(found):
                return f"{self.name} does not have {text!r} any more"
        return None


POLICY = "ray.train.v2._internal.execution.failure_handling"
TRAINER = "ray.train.torch:TorchTrainer"
STATE = "ray.train.v2._internal.execution.checkpoint.checkpoint_manager"
VARIABLES = {
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "ray.train.v2._internal.constants",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "ray.train.v2._internal.constants",
    "RAY_CHDIR_TO_TRIAL_DIR": "ray.train.constants",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "ray._private.accelerators.accelerator",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "ray.data.context",
    "RAY_USAGE_STATS_ENABLED": "ray._common.usage.usage_constants",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "ray.tune.utils.callback",
    "TUNE_DISABLE_SIGINT_HANDLER": "ray.tune.tune",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "ray.tune.execution.tune_controller",
    "TUNE_WARN_THRESHOLD_S": "ray.tune.utils.util",
    "RAY_AIR_NEW_OUTPUT": "ray.tune.experimental.output",
    private.IN_A_JOB: "ray._private.runtime_env.constants",
    private.STOP_WAIT: "ray.dashboard.modules.job.job_supervisor",
}
"""Each variable, and the module that reads or names it."""
IN_THE_CORE = ("RAY_BACKEND_LOG_LEVEL", private.REFUSED.decode())
"""Those of Ray's compiled part."""
NEEDS = [
    Need("ray:init", source=("_temp_dir",)),
    Need(f"{POLICY}:DefaultFailurePolicy", parameters=("failure_config",)),
    Need(f"{POLICY}:DefaultFailurePolicy.make_decision", parameters=("training_failed_error",)),
    Need(f"{POLICY}:FailureDecision.RAISE"),
    Need(f"{POLICY}:FailureDecision.RETRY"),
    Need(f"{TRAINER}.fit", source=("_initialize_and_run_controller", "failure_policy=")),
    Need(f"{TRAINER}._initialize_and_run_controller", source=("_register_sigint_handler(",)),
    Need(f"{TRAINER}._register_sigint_handler", parameters=("controller",)),
    Need("ray.train.v2._internal.execution.controller:TrainController.abort"),
    Need(
        "ray.train.v2._internal.constants:CHECKPOINT_MANAGER_SNAPSHOT_FILENAME",
        value=private.SNAPSHOT,
    ),
    Need(f"{STATE}:_CheckpointManagerState", source=("checkpoint_results:",)),
    Need(f"{STATE}:_TrainingResultState", source=("checkpoint_dir_name:",)),
    Need("ray._private.node", source=(private.SLOW_START,)),
    Need("ray.dashboard.modules.job.job_head", source=(private.NO_AGENT,)),
    *(Need(module, source=(variable,)) for variable, module in VARIABLES.items()),
]


@pytest.mark.parametrize("need", NEEDS, ids=lambda need: "-".join([need.name, *need.source]))
def test_ray_has_it(need):
    assert need.missing() is None


@pytest.mark.parametrize("text", IN_THE_CORE)
def test_the_compiled_part_has_it(text):
    import ray._raylet

    with open(ray._raylet.__file__, "rb") as file:
        core = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        assert core.find(text.encode()) >= 0, f"Ray's compiled part does not have {text} any more"


def test_every_setting_is_looked_for():
    assert {*private.QUIET, *private.QUIET_TUNE} <= {*VARIABLES, *IN_THE_CORE}


def test_the_policy_knows_its_config():
    from ray.train import FailureConfig

    config = FailureConfig(max_failures=3)
    policy = private.failure_policy(config, lambda error: False)
    assert policy.failure_config is config, "Ray lacks DefaultFailurePolicy.failure_config"


@pytest.mark.parametrize(
    ("name", "patched", "said"),
    [
        (f"{TRAINER}._register_sigint_handler", None, "no _register_sigint_handler in"),
        (f"{POLICY}:FailureDecision", None, "no FailureDecision in"),
        (f"{POLICY}:DefaultFailurePolicy.make_decision", lambda self, error: None, "takes no trai"),
        ("ray.train.v2._internal.constants:CHECKPOINT_MANAGER_SNAPSHOT_FILENAME", "a", "is 'a', n"),
    ],
)
def test_what_is_missing_is_named(name, patched, said, monkeypatch):
    """In a Ray without it, or with another in its place."""
    module, _, path = name.partition(":")
    owner = importlib.import_module(module)
    *parents, last = path.split(".")
    for part in parents:
        owner = getattr(owner, part)
    if patched is not None:
        monkeypatch.setattr(owner, last, patched)
    else:  # from the class that defines it
        holders = getattr(owner, "__mro__", (owner,))
        holder = next(holder for holder in holders if last in vars(holder))
        monkeypatch.delattr(holder, last)
    words = [found for need in NEEDS if (found := need.missing()) is not None]
    assert any(said in found and name in found for found in words), words


def test_a_module_that_is_gone_is_named():
    said = Need("ray.train.v2._internal.gone:x").missing()
    assert said is not None
    assert "lacks the module ray.train.v2._internal.gone" in said


# --------------------------------------------------------------------------- where it is asked for


def private_uses(source: str) -> Iterator[str]:
    """What a module uses of Ray that has no public name, or sets behind its back."""
    tree = ast.parse(source)
    known: dict[str, str] = {}  # a module's name for a thing, and Ray's
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            known |= {a.asname or a.name.partition(".")[0]: a.name for a in node.names}
            known |= {"ray": "ray"} if any(a.name.startswith("ray.") for a in node.names) else {}
            yield from filter(_is_private, (alias.name for alias in node.names))
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
            known |= names
            yield from filter(_is_private, names.values())
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and _is_private(name := _name_of(node, known)):
            yield name
        elif isinstance(node, ast.Call) and _name_of(node.func, known).startswith("ray."):
            yield from (f"{k.arg}=" for k in node.keywords if k.arg and k.arg.startswith("_"))
        elif isinstance(node, ast.ClassDef):
            for base in (_name_of(base, known) for base in node.bases):
                yield from _overridden(base, node) if base.startswith("ray.") else ()
        elif isinstance(node, ast.Constant) and isinstance(node.value, str | bytes):
            text = node.value if isinstance(node.value, str) else node.value.decode("latin-1")
            yield from (word for word in WORDS if text == word)


WORDS = (*VARIABLES, *IN_THE_CORE, private.SNAPSHOT, private.SLOW_START, private.NO_AGENT)


def _is_private(name: str) -> bool:
    parts = name.split(".")
    return parts[0] == "ray" and any(p.startswith("_") and not p.startswith("__") for p in parts)


def _name_of(node: ast.AST, known: dict[str, str]) -> str:
    """ray.a.b of an expression that means it, else something else."""
    if isinstance(node, ast.Attribute):
        return f"{_name_of(node.value, known)}.{node.attr}"
    return known.get(node.id, "") if isinstance(node, ast.Name) else ""


def _overridden(base: str, node: ast.ClassDef) -> Iterator[str]:
    """Private methods of a class of Ray that a class takes the place of."""
    module, _, name = base.rpartition(".")
    theirs = getattr(importlib.import_module(module), name)
    for method in node.body:
        name = method.name if isinstance(method, ast.FunctionDef) else ""
        if name.startswith("_") and not name.startswith("__") and hasattr(theirs, name):
            yield f"{base}.{name}"


@pytest.mark.parametrize(
    "path",
    sorted(path for path in PACKAGE.rglob("*.py") if path != PRIVATE),
    ids=lambda path: path.relative_to(PACKAGE).as_posix(),
)
def test_no_other_file_uses_a_private_name(path):
    assert list(private_uses(path.read_text(encoding="utf-8"))) == []


def test_that_one_does():
    assert len(set(private_uses(PRIVATE.read_text(encoding="utf-8")))) >= 20


@pytest.mark.parametrize(
    ("source", "used"),
    [
        ("import ray._private.utils", ["ray._private.utils"]),
        ("from ray.train.v2._internal import x", ["ray.train.v2._internal.x"]),
        ("from ray import _raylet as core", ["ray._raylet"]),
        ("import ray\nray._raylet.f()", ["ray._raylet.f", "ray._raylet"]),
        ("import ray.data as rd\nrd._x", ["ray.data._x"]),
        ("import ray.data\nray.data._x", ["ray.data._x"]),
        ("import ray\nray.init(_temp_dir='x')", ["_temp_dir="]),
        (
            "from ray.train.torch import TorchTrainer as T\n"
            "class A(T):\n  def _register_sigint_handler(self): pass\n  def _own(self): pass",
            ["ray.train.torch.TorchTrainer._register_sigint_handler"],
        ),
        ("x = 'RAY_AIR_NEW_OUTPUT'", ["RAY_AIR_NEW_OUTPUT"]),
        ("x = b'InvalidAuthToken'", ["InvalidAuthToken"]),
        ("import ray\nray.init(address='x')\nray.__version__\nself._x", []),
        ("import rayon\nrayon._x\nRAY = 'RAY_ADDRESS'", []),
    ],
)
def test_the_walk_sees(source, used):
    assert list(private_uses(source)) == used


# ------------------------------------------------------------------------------- what is made of it


def test_settings_of_the_user_stay(monkeypatch):
    monkeypatch.setenv("TUNE_WARN_THRESHOLD_S", "1")
    monkeypatch.delenv("RAY_AIR_NEW_OUTPUT", raising=False)
    private.set_environment(private.QUIET_TUNE)
    assert os.environ["TUNE_WARN_THRESHOLD_S"] == "1"
    assert os.environ["RAY_AIR_NEW_OUTPUT"] == "0"


def test_the_list_of_checkpoints_is_the_one_that_ray_writes(tmp_path):
    whole = {"checkpoint_results": [{"checkpoint_dir_name": "gone"}]}
    (tmp_path / private.SNAPSHOT).write_text(json.dumps(whole))
    private.forget_broken_record(tmp_path)
    assert [path.suffix for path in tmp_path.iterdir()] == [".damaged"]


@pytest.mark.parametrize(
    ("tell", "said"),
    [
        (private.is_slow_start, "The current node timed out during startup. This could …"),
        (private.is_starting_head, "500: No available agent to submit job, please try again later"),
    ],
)
def test_failures_are_told_apart(tell: Callable[[Exception], bool], said):
    assert tell(RuntimeError(said))
    assert not tell(RuntimeError("of another kind"))
