"""Plant faults in the source one at a time, and see that the tests notice each.

    python -m tests.mutate                      all of them; writes docs/mutations.md
    python -m tests.mutate --only match-union   some of them; writes nothing unless --out is given

The faults are listed in ``tests/mutants``. Each is planted in a temporary copy of the tree, never
in the checkout, and the tests that its record names run there until the first fails. They run
unmutated before, for a test that fails anyway notices nothing. On stdout one JSON line; exit
status 1 where a fault survives, 2 where the lists or the tests themselves are at fault.

The libraries are imported once; each run of pytest is a fork, which imports raynef anew.
"""

import argparse
import contextlib
import datetime
import importlib
import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.mutants import MUTANTS
from tests.mutants.mutant import Mutant
from tests.places import ROOT

logger = logging.getLogger("raynef")

_LEFT_OUT = (".git", ".venv", ".hypothesis", "__pycache__", "*.egg-info", "build", "shared")
_MARKS = "not ray and not slow and not gpu and not cluster"
_PASSED, _FAILED, _ELSEWHERE = 0, 1, 70  # exit statuses: pytest's own, and one of ours
_LONGEST_S = 1800.0  # of one run of pytest: what hangs is noticed too
_LIBRARIES = (
    "faiss", "hypothesis", "PIL.Image", "pyarrow", "pydensecrf.densecrf", "pytest", "ray",
    "ray.data", "ray.train", "safetensors.torch", "scipy.cluster.vq", "scipy.linalg",
    "scipy.ndimage", "scipy.optimize", "scipy.sparse", "scipy.spatial", "sklearn.metrics", "timm",
    "torch", "torchvision",
)  # fmt: skip


class ListError(Exception):
    """The lists or the tests are at fault, not the source."""


@dataclass(frozen=True)
class Outcome:
    """What became of a mutant.

    Attributes:
        mutant: which.
        killed_by: the first test that failed; None where it survived.
    """

    mutant: Mutant
    killed_by: str | None


def main(argv: Sequence[str] | None = None) -> int:
    """The command; its exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=[m.name for m in MUTANTS])
    parser.add_argument("--out", type=Path, help="of the table; docs/mutations.md for all mutants")
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time (2)")
    options = parser.parse_args(argv)
    logging.basicConfig(format="%(asctime)s %(message)s", stream=sys.stderr)
    logger.setLevel(logging.INFO)
    mutants = [m for m in MUTANTS if options.only is None or m.name in options.only]
    out = options.out or (ROOT / "docs" / "mutations.md" if options.only is None else None)
    started, revision = time.monotonic(), commit()  # before the trees are copied: it may move on
    try:
        outcomes = run(mutants, jobs=options.jobs)
    except (ListError, ValueError) as error:
        logger.error("%s", error)
        return 2
    survivors = [outcome.mutant.name for outcome in outcomes if outcome.killed_by is None]
    result = {
        "mutants": len(outcomes),
        "killed": len(outcomes) - len(survivors),
        "survived": survivors,
        "commit": revision,
        "seconds": round(time.monotonic() - started, 1),
    }
    if out is not None:
        out.write_text(report(outcomes, result), encoding="utf-8")
    sys.stdout.write(json.dumps(result) + "\n")
    return 1 if survivors else 0


def run(mutants: Sequence[Mutant], *, jobs: int) -> list[Outcome]:
    """Plant every mutant; outcomes in the order of the list.

    Raises:
        ListError: tests that fail, or are not found, on the unmutated source.
        ValueError: text to replace that does not occur exactly once.
    """
    spoiled = {mutant.name: mutant.applied(ROOT) for mutant in mutants}  # before minutes are spent
    os.environ["OMP_NUM_THREADS"] = "1"  # no pool of threads, which a fork would lose
    for name in _LIBRARIES:
        importlib.import_module(name)
    with tempfile.TemporaryDirectory(prefix="raynef-mutate-") as folder:
        trees = [copy_of(ROOT, Path(folder) / str(number)) for number in range(jobs)]
        _require_sound(mutants, trees)
        return _plant_all(mutants, spoiled, trees)


def _require_sound(mutants: Sequence[Mutant], trees: list[Path]) -> None:
    """Raise ListError unless all tests pass on the source as it is."""
    tests = sorted({test for mutant in mutants for test in mutant.tests})
    logger.info("%d mutants; their tests on the sound source first", len(mutants))
    with contextlib.ExitStack() as stack:
        parts = [(tree, tests[number :: len(trees)]) for number, tree in enumerate(trees)]
        runs = [stack.enter_context(forked(tree, p, whole=True)) for tree, p in parts if p]
        for sound in runs:
            status, output = sound.wait()
            if status != _PASSED:
                raise ListError(f"the tests fail on the sound source:\n{output[-3000:]}")


def _plant_all(
    mutants: Sequence[Mutant], spoiled: dict[str, str], trees: list[Path]
) -> list[Outcome]:
    """As many at a time as there are trees; each tree is as before after each mutant."""
    outcomes: dict[str, Outcome] = {}
    waiting, running, died = list(mutants), {}, set[str]()
    with contextlib.ExitStack() as stack:
        while waiting or running:
            for tree in trees:
                if tree not in running and waiting:
                    mutant = waiting.pop(0)
                    path = tree / mutant.file
                    sound = path.read_bytes()
                    path.write_text(spoiled[mutant.name], encoding="utf-8")
                    tests = stack.enter_context(forked(tree, mutant.tests))
                    running[tree] = (mutant, sound, tests)
            time.sleep(0.05)
            for tree, (mutant, sound, tests) in list(running.items()):
                if tests.ended():
                    del running[tree]
                    (tree / mutant.file).write_bytes(sound)
                    status, output = tests.wait()
                    if (status or 0) < 0 and mutant.name not in died:
                        # By a signal: threads of a native library do not always survive a fork.
                        logger.info("%s: its tests died, once more", mutant.name)
                        died.add(mutant.name)
                        waiting.append(mutant)
                    else:
                        outcomes[mutant.name] = _outcome(mutant, status, output)
    return [outcomes[mutant.name] for mutant in mutants]


def _outcome(mutant: Mutant, status: int | None, output: str) -> Outcome:
    if status not in (_PASSED, _FAILED, None):
        raise ListError(f"mutant {mutant.name}: its tests do not run:\n{output[-3000:]}")
    killed_by = None if status == _PASSED else first_failure(output) or "a time limit"
    logger.info("%-34s %s", mutant.name, f"killed by {killed_by}" if killed_by else "SURVIVED")
    return Outcome(mutant, killed_by)


def copy_of(root: Path, folder: Path) -> Path:
    """A copy of the tree that may be spoiled."""
    shutil.copytree(root, folder, ignore=shutil.ignore_patterns(*_LEFT_OUT))
    return folder


class Forked:
    """Pytest in a fork of this process."""

    def __init__(self, pid: int, log: Path) -> None:
        self._pid, self._log, self._status = pid, log, None
        self._deadline, self._late = time.monotonic() + _LONGEST_S, False

    def ended(self) -> bool:
        """Whether it is done; what takes too long is ended here."""
        if self._status is None:
            self._late = time.monotonic() > self._deadline
            if self._late:
                self.end()
            else:
                pid, status = os.waitpid(self._pid, os.WNOHANG)
                self._status = os.waitstatus_to_exitcode(status) if pid else None
        return self._status is not None

    def wait(self) -> tuple[int | None, str]:
        """Its exit status, None where it took too long, and what it wrote."""
        while not self.ended():
            time.sleep(0.05)
        return None if self._late else self._status, self._log.read_text(errors="replace")

    def end(self) -> None:
        """End it where it still runs."""
        if self._status is None:
            os.kill(self._pid, signal.SIGKILL)
            self._status = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])


@contextlib.contextmanager
def forked(tree: Path, tests: Sequence[str], *, whole: bool = False) -> Iterator[Forked]:
    """Tests of a tree, on its own source: the whole of them, or until the first that fails."""
    log = tree.parent / f"{tree.name}.log"
    pid = os.fork()
    if pid == 0:
        status = _ELSEWHERE
        try:
            status = _run_here(tree, tests, log, whole)
        finally:
            os._exit(status)  # nothing of the parent's ends with it
    child = Forked(pid, log)
    try:
        yield child
    finally:
        child.end()


def _run_here(tree: Path, tests: Sequence[str], log: Path, whole: bool) -> int:
    """Pytest in this process, with raynef and its tests imported from a tree.

    Hypothesis draws the same examples each time, and no file is compiled into a cache, in which a
    mutant of the same size and second would go unnoticed.
    """
    with log.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.chdir(tree)
    os.environ.pop("RAYNEF_SHARED", None)
    os.environ["PYTHONPATH"] = str(tree)
    sys.path[:] = [str(tree), *(path for path in sys.path if path not in ("", str(ROOT)))]
    sys.dont_write_bytecode = True
    for name in list(sys.modules):
        if name.partition(".")[0] in ("raynef", "tests"):
            del sys.modules[name]
    importlib.invalidate_caches()
    if not str(importlib.import_module("raynef").__file__).startswith(f"{tree}/"):
        sys.stderr.write("raynef is not imported from the copy\n")
        return _ELSEWHERE
    pytest: Any = importlib.import_module("pytest")
    options = ["-q", "-n0", "-p", "no:cacheprovider", "--hypothesis-seed=0", "-m", _MARKS]
    status = int(pytest.main([*options, *([] if whole else ["-x"]), *tests]))
    sys.stdout.flush()
    sys.stderr.flush()
    return status


def first_failure(output: str) -> str | None:
    """The first failed test of pytest's summary, without its parameters."""
    found = re.search(r"^(?:FAILED|ERROR) (\S+?)(?:\[.*|\s.*)?$", output, flags=re.MULTILINE)
    return found[1] if found else None


def commit() -> str:
    """The checkout's commit, and whether there are changes beside it."""
    revision = _git("rev-parse", "--short", "HEAD") or "unknown"
    return (
        f"{revision} and changes" if _git("status", "--porcelain", "raynef", "tests") else revision
    )


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip()


def report(outcomes: Sequence[Outcome], result: dict[str, object]) -> str:
    """The table, in Markdown."""
    today = datetime.datetime.now(tz=datetime.UTC).date().isoformat()
    lines = [
        "# Mutations",
        "",
        "Faults planted in the source one at a time, and the first test that noticed each. Made by",
        f"`python -m tests.mutate` on {today}, commit {result['commit']}:",
        f"{result['killed']} of {result['mutants']} killed. The list, with the reason for each, is "
        "in `tests/mutants`.",
        "",
        "| mutant | file | change | what would be wrong | killed by |",
        "| --- | --- | --- | --- | --- |",
    ]
    for outcome in outcomes:
        mutant = outcome.mutant
        cells = (
            mutant.name,
            f"`{mutant.file}`",
            f"{_code(mutant.old)} → {_code(mutant.new)}",
            mutant.why,
            f"`{outcome.killed_by}`" if outcome.killed_by else "**survived**",
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _code(text: str) -> str:
    flat = " ".join(text.split()).replace("|", "\\|")
    return f"`{flat}`"


if __name__ == "__main__":
    sys.exit(main())
