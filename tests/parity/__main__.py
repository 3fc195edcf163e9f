"""Run every command at its smallest, and compare what it leaves with the committed record.

    python -m tests.parity                     compare this tree with tests/parity/record.json
    python -m tests.parity --against COMMIT    run COMMIT too, here, and compare with that
    python -m tests.parity --only train tune   some steps, with those that they need
    python -m tests.parity --write             make the record anew, or (--only) these steps of it

The record is exact (weights and features as digests) and so of one processor and one set of
libraries, which it names; elsewhere use ``--against``. Exit status 1 where something differs.
"""

import argparse
import contextlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from tests.parity.commands import FILES, HELP, STEPS, Step
from tests.parity.observe import observe, plain
from tests.places import ROOT

RECORD = Path(__file__).with_name("record.json")
PLACE = Path("/tmp/raynef-parity")
"""One place always: names of runs and of trials depend on the paths in a recipe."""
_LIBRARIES = ("torch", "timm", "ray", "numpy", "pyarrow", "faiss-cpu", "pillow", "scipy")
_FLAG = re.compile(r"--[a-z][a-z0-9.-]*[a-z0-9]")


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 0 the same, 1 not."""
    parser = argparse.ArgumentParser(prog="python -m tests.parity", description=__doc__)
    parser.add_argument("--against", metavar="COMMIT")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--only", nargs="+", metavar="STEP")
    parser.add_argument("--keep", action="store_true", help=f"leave {PLACE} as it is at the end")
    args = parser.parse_args(argv)
    steps = chosen(args.only)
    record = run(ROOT, steps, with_help=not args.only, keep=args.keep)
    if args.write:
        old = json.loads(RECORD.read_text())["steps"] if args.only else {}
        fresh = {**old, **record["steps"]}
        names = [step.name for step in STEPS] + [name for name in fresh if name.endswith("--help")]
        write({**record, "steps": {name: fresh[name] for name in names if name in fresh}})
        return 0
    if args.against:
        with tempfile.TemporaryDirectory() as folder:
            tree = Path(folder) / "tree"
            _git("worktree", "add", "--detach", str(tree), args.against)
            try:
                expected = run(tree, steps, with_help=not args.only)
            finally:
                _git("worktree", "remove", "--force", str(tree))
    else:
        expected = json.loads(RECORD.read_text())
        if expected["made_with"] != record["made_with"]:
            _say(f"made with {expected['made_with']}, here {record['made_with']}: see --against")
    return report(expected["steps"], record["steps"])


def chosen(names: Sequence[str] | None) -> list[Step]:
    """Steps of these names and all that they need, in order; all where none is named."""
    if not names:
        return list(STEPS)
    by_name = {step.name: step for step in STEPS}
    wanted, queue = set(), list(names)
    while queue:
        name = queue.pop()
        if name not in by_name:
            raise SystemExit(f"no step {name!r}; there are: {', '.join(by_name)}")
        if name not in wanted:
            wanted.add(name)
            queue += by_name[name].needs
    return [step for step in STEPS if step.name in wanted]


def run(
    tree: Path, steps: Sequence[Step], *, with_help: bool, keep: bool = False
) -> dict[str, Any]:
    """Observe a tree's commands, one after the other, in a fresh folder."""
    shutil.rmtree(PLACE, ignore_errors=True)
    PLACE.mkdir(parents=True)
    for name, text in FILES.items():
        (PLACE / name).write_text(text)
    found: dict[str, Any] = {}
    before: dict[str, Any] = observe(PLACE)
    with running(tree) as runner:
        for step in steps:
            start = time.monotonic()
            if step.python is not None:
                status, output = runner.script(step.python)
            else:
                status, output = runner.command(step.argv)
            after = observe(PLACE)
            line = output.strip().splitlines()[-1] if output.strip() else "null"
            found[step.name] = {
                "status": status,
                "line": plain(_parsed(line), PLACE) if status in (0, 1) else None,
                "files": {
                    path: value for path, value in after.items() if before.get(path) != value
                },
                "gone": sorted(set(before) - set(after)),
            }
            before = after
            _say(f"{step.name}: status {status}, {time.monotonic() - start:.1f} s")
            if status:
                _say(f"    {runner.log().strip().splitlines()[-1]}")
        for command in HELP if with_help else ():
            status, output = runner.command((*command.split(), "--help"))
            flags = sorted(set(_FLAG.findall(output)))
            found[f"{command} --help".strip()] = {"status": status, "flags": flags}
        if "Traceback" in runner.log():
            _say(runner.log()[-20000:])
    if not keep:
        shutil.rmtree(PLACE, ignore_errors=True)
    versions = " ".join(f"{name} {metadata.version(name)}" for name in _LIBRARIES)
    return {"made_with": f"{_processor()}, {versions}", "steps": found}


def write(record: dict[str, Any]) -> None:
    """The record as JSON, with a line for each file, so that a difference can be read."""
    lines = [f'{{"made_with": {json.dumps(record["made_with"])},', '"steps": {']
    for name, step in record["steps"].items():
        lines.append(f" {json.dumps(name)}: {{")
        for key, value in step.items():
            if key == "files" and value:
                inner = [f"   {json.dumps(path)}: {_dumped(item)}" for path, item in value.items()]
                lines.append('  "files": {\n' + ",\n".join(inner) + "\n  },")
            else:
                lines.append(f"  {json.dumps(key)}: {_dumped(value)},")
        lines[-1] = lines[-1].removesuffix(",")
        lines.append(" },")
    lines[-1] = lines[-1].removesuffix(",")
    RECORD.write_text("\n".join([*lines, "}}"]) + "\n", encoding="utf-8")


def _dumped(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def report(expected: dict[str, Any], found: dict[str, Any]) -> int:
    """Print every value that differs; 1 where there is one."""
    differences = []
    for name in found:
        if name not in expected:
            differences.append(f"{name}: not in the record")
        else:
            differences += _differences(expected[name], found[name], name)
    for difference in differences:
        _say(difference)
    sys.stdout.write(json.dumps({"steps": len(found), "differences": len(differences)}) + "\n")
    return 1 if differences else 0


def _differences(expected: Any, found: Any, where: str) -> list[str]:
    if isinstance(expected, dict) and isinstance(found, dict):
        return [
            line
            for key in sorted({*expected, *found})
            for line in _differences(
                expected.get(key, "nothing"), found.get(key, "nothing"), f"{where} / {key}"
            )
        ]
    both_lists = isinstance(expected, list) and isinstance(found, list)
    if both_lists and len(expected) == len(found):
        pairs = enumerate(zip(expected, found, strict=True))
        return [line for index, (a, b) in pairs for line in _differences(a, b, f"{where}[{index}]")]
    return [] if expected == found else [f"{where}: {_short(expected)} → {_short(found)}"]


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 160 else text[:157] + "…"


class Runner:
    """Commands of one tree, in a process of their own."""

    def __init__(self, tree: Path) -> None:
        self._environment = {
            **os.environ,
            "PYTHONPATH": str(tree),
            "COLUMNS": "200",
            "NO_COLOR": "1",
            "RAY_DEDUP_LOGS": "0",
        }
        answers, theirs = os.pipe()
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("runner.py")), str(theirs)],
            cwd=PLACE,
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=self._log,
            pass_fds=(theirs,),
            text=True,
        )
        os.close(theirs)
        self._answers = os.fdopen(answers)

    def command(self, argv: Sequence[str]) -> tuple[int, str]:
        """Exit status and stdout of a command."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(list(argv)) + "\n")
        self._process.stdin.flush()
        line = self._answers.readline()
        if not line:
            raise SystemExit(f"raynef {' '.join(argv)} ended the process:\n{self.log()[-8000:]}")
        return json.loads(line)

    def script(self, source: str) -> tuple[int, str]:
        """Likewise of a script."""
        done = subprocess.run(
            [sys.executable, "-c", source],
            cwd=PLACE,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout

    def log(self) -> str:
        """What all of them wrote to stderr so far."""
        self._log.seek(0)
        text = self._log.read()
        self._log.seek(0, os.SEEK_END)
        return text

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        self._answers.close()
        self._log.close()


@contextlib.contextmanager
def running(tree: Path) -> Iterator[Runner]:
    """A runner, ended afterwards."""
    runner = Runner(tree)
    try:
        yield runner
    finally:
        runner.close()


def _parsed(line: str) -> Any:
    try:
        return json.loads(line)
    except json.JSONDecodeError:
        return line


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            flags = Path("/proc/cpuinfo").read_text()
            widest = "AVX-512" if "avx512f" in flags else "AVX2" if "avx2" in flags else "no AVX2"
            return f"{line.partition(':')[2].strip()} ({widest}, {os.cpu_count()} cores)"
    return platform.processor()


def _git(*args: str) -> None:
    subprocess.run(["git", "-C", str(ROOT), *args], check=True, stdout=sys.stderr)


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
