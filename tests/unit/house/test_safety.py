"""What docs/security.md says that the code never does: looked for in every module."""

import ast
from pathlib import Path

import pytest

import raynef

PACKAGE = Path(raynef.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
PICKLES_OF_OUR_OWN = {"cluster/stream.py"}
"""Rows between this job's own tasks and actors; nothing that was read from outside."""
STARTS_PROGRAMS = {"stores/run.py", "ops/doctor/libraries.py"}
"""git, and Python for the trials of raynef doctor; by a list of arguments."""
NEVER_IMPORTED = {
    *("cloudpickle", "dill", "joblib", "marshal", "shelve"),  # run what they read
    *("tarfile", "zipfile", "shutil.unpack_archive"),  # write where the archive says
    *("xml.dom", "xml.sax", "lxml"),  # more of XML than annotations need
}
NEVER_CALLED = {"eval", "exec", "compile", "os.system", "os.popen", "torch.hub.load"}


def unsafe(source: str, module: str = "") -> list[str]:
    """What a module does that it must not, by an obvious walk."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [
                f"imports {alias.name}" for alias in node.names if _banned(alias.name, module)
            ]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
            found += [f"imports {name}" for name in names if _banned(name, module)]
        elif isinstance(node, ast.Call):
            found += _unsafe_call(node)
    return found


def _banned(name: str, module: str) -> bool:
    if name.split(".")[0] == "pickle":
        return module not in PICKLES_OF_OUR_OWN
    if name.split(".")[0] == "subprocess":
        return module not in STARTS_PROGRAMS
    return any(name == never or name.startswith(f"{never}.") for never in NEVER_IMPORTED)


def _unsafe_call(node: ast.Call) -> list[str]:
    name = ast.unparse(node.func)
    given = {one.arg: ast.unparse(one.value) for one in node.keywords if one.arg}
    wrong = {
        f"calls {name}": name in NEVER_CALLED or name.endswith(".unpack_archive"),
        "loads weights that may run code": name == "torch.load"
        and given.get("weights_only") != "True",
        "reads YAML that may run code": name.startswith("yaml.")
        and "load" in name
        and name != "yaml.safe_load",
        "reads arrays that may run code": given.get("allow_pickle", "False") != "False",
        "goes through a shell": given.get("shell", "False") != "False",
        "listens on all interfaces": "0.0.0.0" in given.values() or "'0.0.0.0'" in given.values(),
        "starts a Ray with an open dashboard": name == "ray.init"
        and "address" not in given
        and given.get("dashboard_host") != "'127.0.0.1'",
    }
    return [message for message, is_so in wrong.items() if is_so]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_no_module_does_what_is_unsafe(path):
    module = path.relative_to(PACKAGE).as_posix()
    assert unsafe(path.read_text(encoding="utf-8"), module) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import loads",
        "import subprocess",
        "from shutil import unpack_archive",
        "import tarfile as t",
        "import torch\ntorch.load(path)",
        "import torch\ntorch.load(path, weights_only=False)",
        "import yaml\nyaml.load(text, Loader=yaml.Loader)",
        "import yaml\nyaml.unsafe_load(text)",
        "import numpy as np\nnp.load(path, allow_pickle=True)",
        "run(line, shell=True)",
        "eval(text)",
        "import os\nos.system(line)",
        "import ray\nray.init()",
        "import ray\nray.init(dashboard_host='0.0.0.0')",
        "serve(host='0.0.0.0')",
        "import shutil\nshutil.unpack_archive(path)",
    ],
)
def test_the_walk_sees(source):
    assert unsafe(source) != []


@pytest.mark.parametrize(
    "source",
    [
        "model.eval()",
        "import re\nre.compile(pattern)",
        "import torch\ntorch.load(path, weights_only=True)",
        "import yaml\nyaml.safe_load(text)",
        "import ray\nray.init(address=address)",
    ],
)
def test_the_walk_lets_pass(source):
    assert unsafe(source) == []


def test_our_own_pickles_are_where_they_are_said_to_be():
    for module in PICKLES_OF_OUR_OWN:
        assert "pickle" in (PACKAGE / module).read_text(encoding="utf-8")
        assert unsafe((PACKAGE / module).read_text(encoding="utf-8")) != []
    assert len(MODULES) > 100
