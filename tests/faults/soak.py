"""A long job under random kills.

    python -m tests.faults.soak [--kills 20] [--seed 0] [--out soak.json]

Extract, train, evaluate and tune run one after the other, as a user gives them, again and again,
while drivers, feature actors, train workers, trials, raylets and control stores are killed at
random times; a command that ends badly is given again. At the end of each round the weights must
be those of an undisturbed job, bit for bit, and the scores close to its own. Exits 1 otherwise.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.faults.command import VICTIMS, Command
from tests.faults.pipeline import Job, digests, scores, undisturbed, weights

VICTIMS_OF = {
    "extract": ["driver", "feature actor", "raylet", "control store"],
    "train": ["driver", "train worker", "train worker", "raylet", "control store"],
    "evaluate": ["driver", "feature actor"],
    "tune": ["driver", "trial", "trial", "raylet"],
}
_TRIES = 20  # of one command


class Soak:
    """Kills, drawn from a seed, until there were enough."""

    def __init__(self, kills: int, seed: int) -> None:
        self.left = kills
        self.done: Counter[str] = Counter()
        self.tries = 0
        self._random = random.Random(seed)

    def run(self, step: str, arguments: list[str], usual: float) -> None:
        """A command to its good end, whatever befalls it.

        Args:
            step: which of the job's.
            arguments: of raynef.
            usual: seconds that it takes undisturbed.
        """
        said = ""
        for _ in range(_TRIES):
            self.tries += 1
            command = Command(arguments)
            if self.left:
                self._strike(step, command, usual)
            if command.wait() == 0:
                return
            said = command.said
        raise RuntimeError(f"{step} did not end well in {_TRIES} tries: {said[-2000:]}")

    def _strike(self, step: str, command: Command, usual: float) -> None:
        victim = self._random.choice(VICTIMS_OF[step])
        when = time.monotonic() + self._random.uniform(0.1, 0.7) * usual
        while command.running() and time.monotonic() < when:
            time.sleep(0.05)
        if victim == "driver" and command.running():
            command.kill()
        elif victim in VICTIMS and command.running() and command.processes(victim):
            command.kill_one(victim)
        else:
            return  # it was over, or there is no such process now
        self.left -= 1
        self.done[f"{step}: {victim}"] += 1
        sys.stderr.write(f"{time.strftime('%H:%M:%S')} {step}: {victim} killed, {self.left} left\n")


def soak(folder: Path, *, kills: int, seed: int) -> dict:
    """Rounds of the job until there were enough kills; what happened."""
    job, whole = Job.on(folder), folder / "whole"
    usual = undisturbed(job, whole)
    wanted, started, rounds, worst = scores(whole), time.monotonic(), 0, 0.0
    state = Soak(kills, seed)
    while state.left:
        rounds += 1
        out = folder / f"round-{rounds}"
        for name, command in job.steps(out).items():
            state.run(name, command, usual[name])
        if digests(out / "store") != digests(whole / "store"):
            raise RuntimeError(f"round {rounds}: the features differ")
        if weights(out / "run") != weights(whole / "run"):
            raise RuntimeError(f"round {rounds}: the weights differ")
        found = scores(out)
        if found.keys() != wanted.keys():
            raise RuntimeError(f"round {rounds}: trials {found.keys() ^ wanted.keys()}")
        worst = max(worst, *(abs(found[name] - wanted[name]) for name in wanted))
    if worst > 0.02:
        raise RuntimeError(f"a score is {worst:.3f} from that of the undisturbed job")
    return {
        "kills": sum(state.done.values()),
        "by": dict(sorted(state.done.items())),
        "rounds": rounds,
        "commands": state.tries,
        "minutes": round((time.monotonic() - started) / 60, 1),
        "undisturbed_round_minutes": round(sum(usual.values()) / 60, 1),
        "largest_difference_of_a_score": round(worst, 5),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="raynef-soak-") as folder:
        found = soak(Path(folder), kills=options.kills, seed=options.seed)
    line = json.dumps(found)
    if options.out is not None:
        options.out.write_text(line + "\n")
    sys.stdout.write(line + "\n")


if __name__ == "__main__":
    main()
