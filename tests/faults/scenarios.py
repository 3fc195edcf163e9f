"""Each fault, injected into a real command, and what became of it."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.faults.command import Command
from tests.faults.pipeline import (
    Job,
    digests,
    scores,
    times,
    trial_scores,
    undisturbed,
    weights,
)


@dataclass(frozen=True)
class Outcome:
    """What a fault did.

    Attributes:
        seconds: of the command (of all tries) with the fault; None where there is no such time.
        undisturbed: of the same command without.
        note: what was seen.
    """

    seconds: float | None
    undisturbed: float | None
    note: str


class Unmet(AssertionError):
    """A required outcome that did not come."""


def require(condition: object, what: str) -> None:
    """Raise Unmet unless it is so."""
    if not condition:
        raise Unmet(what)


@dataclass(frozen=True)
class Bench:
    """What scenarios share: a job, where it was done undisturbed, and how long that took."""

    job: Job
    folder: Path
    whole: Path
    seconds: dict[str, float]

    @staticmethod
    def make(folder: Path) -> "Bench":
        """Do the job once, undisturbed."""
        job, whole = Job.on(folder), folder / "whole"
        return Bench(job, folder, whole, undisturbed(job, whole))

    def new(self, name: str, *, stored: bool = False) -> Path:
        """A folder for a scenario; with the features made before, by hard links, if wanted."""
        out = self.folder / name
        out.mkdir()
        if stored:
            subprocess.run(["cp", "-al", self.whole / "store", out / "store"], check=True)
        return out

    def same_weights(self, out: Path) -> None:
        """Raise Unmet unless a run ended with the weights of the undisturbed one."""
        require(weights(out / "run") == weights(self.whole / "run"), "the weights differ")

    def same_store(self, out: Path) -> None:
        """Likewise for a store."""
        require(digests(out / "store") == digests(self.whole / "store"), "the shards differ")


def checkpoints(out: Path) -> list[Path]:
    return sorted((out / "run" / "checkpoints").glob("checkpoint_*/state.ckpt"))


def resumed_at(command: Command) -> int:
    """Step from which a training said last that it goes on."""
    words = command.said.rpartition("going on from step ")[2].split()
    require(words, "it did not go on from a checkpoint")
    return int(words[0])


def feature_actor(bench: Bench) -> Outcome:
    out = bench.new("feature-actor")
    command = Command(bench.job.extract(out))
    command.until(lambda: list((out / "store").glob("*.parquet")))
    command.kill_one("feature actor")
    found = command.result()
    bench.same_store(out)
    require(found["num_images"] == bench.job.num_train, "an image was lost or doubled")
    took = time.monotonic() - command.started
    return Outcome(
        took, bench.seconds["extract"], "every shard as without; no image lost or doubled"
    )


def train_worker(bench: Bench) -> Outcome:
    out = bench.new("train-worker", stored=True)
    command = Command(bench.job.train(out))
    command.until(lambda: len(checkpoints(out)) >= 2)
    time.sleep(0.3)
    command.kill_one("train worker")
    command.result()
    bench.same_weights(out)
    note = (
        f"went on from step {resumed_at(command)} of {bench.job.num_steps}; weights bit-identical"
    )
    return Outcome(time.monotonic() - command.started, bench.seconds["train"], note)


def killed_and_again(
    arguments: list[str], when: Callable[[], object]
) -> tuple[Command, dict, float]:
    """SIGKILL a driver at some point, and give the same command again."""
    first = Command(arguments)
    first.until(when)
    first.kill()
    again = Command(arguments)
    result = again.result()
    return again, result, time.monotonic() - first.started


def driver_of_extract(bench: Bench) -> Outcome:
    out = bench.new("driver-extract")
    there: dict[Path, float] = {}

    def half() -> bool:
        there.update(times(out / "store", "*.parquet"))
        return len(there) >= 3

    _, _, took = killed_and_again(bench.job.extract(out), half)
    bench.same_store(out)
    done = [path for path in there if times(out / "store", "*.parquet")[path] == there[path]]
    # The last of them may have been renamed into place, and not yet be in the journal.
    require(len(done) >= len(there) - 2, f"only {len(done)} of {len(there)} shards were kept")
    note = f"{len(done)} of {len(there)} finished shards kept, store as without"
    return Outcome(took, bench.seconds["extract"], note)


def driver_of_train(bench: Bench) -> Outcome:
    out = bench.new("driver-train", stored=True)
    again, _, took = killed_and_again(bench.job.train(out), lambda: len(checkpoints(out)) >= 2)
    bench.same_weights(out)
    note = f"went on from step {resumed_at(again)} of {bench.job.num_steps}; weights bit-identical"
    return Outcome(took, bench.seconds["train"], note)


def driver_of_tune(bench: Bench) -> Outcome:
    out = bench.new("driver-tune")
    there: dict[Path, float] = {}

    def two() -> bool:
        there.update(times(out / "sweep", "trials/*/result.json"))
        return len(there) >= 2

    _, _, took = killed_and_again(bench.job.tune(out), two)
    now = times(out / "sweep", "trials/*/result.json")
    require(all(now[path] == there[path] for path in there), "a finished trial was run again")
    found, wanted = trial_scores(out), trial_scores(bench.whole)
    require(found.keys() == wanted.keys(), "other trials")
    worst = max(abs(found[name] - wanted[name]) for name in wanted)
    require(worst < 0.02, f"a score is {worst:.3f} from that without the kill")
    note = f"{len(there)} finished trials kept; scores within {worst:.4f} of those without"
    return Outcome(took, bench.seconds["tune"], note)


def driver_of_evaluate(bench: Bench) -> Outcome:
    out = bench.new("driver-evaluate")
    subprocess.run(["cp", "-a", bench.whole / "run", out / "run"], check=True)
    (out / "run" / "evaluate.json").unlink()
    arguments = bench.job.evaluate(out)
    first = Command(arguments)
    first.until(lambda: "starting an embedded Ray" in first.said)
    time.sleep(6)
    first.kill()
    require(not (out / "run" / "evaluate.json").exists(), "it was over before the kill")
    result = Command(arguments).result()
    require(result["miou"] == scores(bench.whole)["run"], "another score")
    took = time.monotonic() - first.started
    return Outcome(took, bench.seconds["evaluate"], "training untouched, the same score")


def sigterm(bench: Bench) -> Outcome:
    out = bench.new("sigterm", stored=True)
    command = Command(bench.job.train(out))
    command.until(lambda: len(checkpoints(out)) >= 2)
    time.sleep(0.3)
    told = time.monotonic()
    command.terminate()
    status = command.wait()
    ended = time.monotonic() - told
    require(status == 1, f"exit status {status}")
    require("a checkpoint is safe" in command.said, f"no checkpoint: {command.said[-500:]}")
    require("Traceback" not in command.said, "a traceback")
    require(ended < 20, f"it took {ended:.1f} s to end")
    again = Command(bench.job.train(out))
    again.result()
    bench.same_weights(out)
    note = (
        f"checkpoint and end within {ended:.1f} s, exit 1; went on from step {resumed_at(again)} "
        f"of {bench.job.num_steps}; weights bit-identical"
    )
    return Outcome(time.monotonic() - command.started, bench.seconds["train"], note)


@contextlib.contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Callable[[str], None]]:
    """A file system of a size of its own; yields what changes that size. Needs root."""
    folder.mkdir(parents=True)

    def resize(new: str) -> None:
        subprocess.run(["mount", "-o", f"remount,size={new}", folder], check=True)

    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=True)
    try:
        yield resize
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def full_disk(bench: Bench) -> Outcome:
    size = sum(path.stat().st_size for path in (bench.whole / "store").glob("*.parquet"))
    with small_disk(bench.folder / "full", f"{size // 2 // 1024}k") as resize:
        out = bench.folder / "full"
        command = Command(bench.job.extract(out))
        status = command.wait()
        require(status == 1, f"exit status {status}")
        require("Traceback" not in command.said, f"a traceback: {command.said[-1500:]}")
        last = command.said.strip().splitlines()[-1]
        require("No space left" in last or "disk" in last, f"it said {last!r}")
        require(not list((out / "store").glob(".*.tmp")), "a temporary file is left")
        kept = times(out / "store", "*.parquet")
        resize("1g")
        Command(bench.job.extract(out)).result()
        bench.same_store(out)
        now = times(out / "store", "*.parquet")
        same = sum(now[path] == when for path, when in kept.items())
    took = time.monotonic() - command.started
    note = f"“{last}”; {same} of {len(kept)} shards kept once there was space, store as without"
    return Outcome(took, bench.seconds["extract"], note)


def damaged_shard(bench: Bench) -> Outcome:
    out = bench.new("shard")
    subprocess.run(["cp", "-a", bench.whole / "store", out / "store"], check=True)
    shards = sorted((out / "store").glob("*.parquet"))
    cut, flipped = shards[0], shards[1]
    cut.write_bytes(cut.read_bytes()[:-1000])
    content = bytearray(flipped.read_bytes())
    content[len(content) // 2] ^= 4
    flipped.write_bytes(content)
    os.utime(flipped)
    command = Command(bench.job.train(out))
    command.result()
    for path in (cut, flipped):
        require(path.name in command.said, f"{path.name} was not named")
    bench.same_store(out)
    bench.same_weights(out)
    took = time.monotonic() - command.started
    note = "one shard cut short, one byte of another flipped: both named and recomputed by train"
    return Outcome(took, bench.seconds["train"], note)


def damaged_checkpoint(bench: Bench) -> Outcome:
    out = bench.new("checkpoint", stored=True)
    first = Command(bench.job.train(out))
    first.until(lambda: len(checkpoints(out)) >= 2)
    first.kill()
    newest = checkpoints(out)[-1]
    newest.write_bytes(newest.read_bytes()[:-500])
    again = Command(bench.job.train(out))
    again.result()
    require(newest.parent.name in again.said, "the damaged one was not named")
    bench.same_weights(out)
    took = time.monotonic() - first.started
    step = resumed_at(again)
    note = f"named; went on from step {step} of {bench.job.num_steps}; weights bit-identical"
    return Outcome(took, bench.seconds["train"], note)


def one_folder(bench: Bench) -> Outcome:
    out = bench.new("one-folder", stored=True)
    first = Command(bench.job.train(out))
    first.until(lambda: (out / "run" / "run.json").is_file())
    second = Command(bench.job.train(out))
    status = second.wait()
    require(status == 2, f"exit status {status}")
    require("another live run holds" in second.said, second.said)
    first.result()
    bench.same_weights(out)
    return Outcome(None, None, "the second refused with exit 2; the first went on")


def small_object_store(bench: Bench) -> Outcome:
    """Half a gigabyte of blocks through an object store of 80 MB."""
    out = bench.new("object-store")
    job = Job.on(bench.folder / "many", num_train=256, num_val=4)
    env = {"RAY_DEFAULT_OBJECT_STORE_MAX_MEMORY_BYTES": str(80_000_000)}
    started = time.monotonic()
    flags = [*job.extract(out), "--data.short-side", "320", "--data.crop", "320"]
    found = Command(flags, env=env).result()
    require(found["num_images"] == 256, "images are missing")
    took = time.monotonic() - started
    megabytes = sum(path.stat().st_size for path in (out / "store").glob("*.parquet")) / 1e6
    note = f"{megabytes:.0f} MB of features through an object store of 80 MB: finished"
    return Outcome(took, None, note)


def by_pytest(*names: str) -> Callable[[Bench], Outcome]:
    """A scenario that is a test marked ``cluster``."""

    def run(bench: Bench) -> Outcome:
        started = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-n0", "-m", "cluster", *names],
            capture_output=True,
            text=True,
            check=False,
        )
        require(done.returncode == 0, done.stdout[-1500:])
        return Outcome(time.monotonic() - started, None, "tests: " + ", ".join(_short(names)))

    return run


def _short(names: tuple[str, ...]) -> list[str]:
    return [f"`{name.rpartition('::')[2] or name}`" for name in names]


def fuzz(bench: Bench) -> Outcome:
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "tests/fuzz.py", "--count", "1000", "--seed", "0"],
        capture_output=True,
        text=True,
        check=False,
    )
    require(done.returncode == 0, (done.stdout + done.stderr)[-1500:])
    told = [line for line in done.stdout.splitlines() if line.startswith(("crashed", "peak"))]
    return Outcome(time.monotonic() - started, None, "; ".join(told))


_TWO_NODES = "tests/cluster/test_two_nodes.py"
SCENARIOS: dict[str, tuple[str, Callable[[Bench], Outcome]]] = {
    "feature actor killed": ("its block is retried, no image lost or doubled", feature_actor),
    "train worker killed within an epoch": (
        "restart from the last checkpoint, final metrics as without",
        train_worker,
    ),
    "driver of extract killed": ("no finished shard is recomputed", driver_of_extract),
    "driver of train killed": ("no finished epoch is done again", driver_of_train),
    "driver of tune killed": ("no finished trial is run again", driver_of_tune),
    "driver of evaluate killed": ("the same command evaluates", driver_of_evaluate),
    "SIGTERM": ("checkpoint within 10 s, clean end, resume", sigterm),
    "disk full": ("clear error, nothing half-written taken for whole, resume", full_disk),
    "shard truncated, byte flipped": ("found by checksum, named, recomputed", damaged_shard),
    "checkpoint truncated": ("the one before is used, said so", damaged_checkpoint),
    "1,000 mutated files": ("handled, or skipped and named; memory bounded", fuzz),
    "two runs, one folder": ("the second refuses", one_folder),
    "object store smaller than the work": ("finishes, or says what to raise", small_object_store),
    "node killed": (
        "work moves, or waits and says for what",
        by_pytest(
            f"{_TWO_NODES}::test_a_node_is_killed_and_the_work_moves",
            f"{_TWO_NODES}::test_without_another_node_it_waits_and_says_for_what",
        ),
    ),
}
