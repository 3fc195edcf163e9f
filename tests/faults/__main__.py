"""Inject each fault and write the table.

    python -m tests.faults [--out docs/reliability.md] [--only "SIGTERM" …]

Needs minutes, an idle machine, and root for the disk that fills. Exits 1 where a required outcome
did not come.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from raynef.stores.run import environment
from tests.faults.scenarios import SCENARIOS, Bench, Outcome

HEAD = """# Faults, and what they cost

Made by `python -m tests.faults --out docs/reliability.md` on {date}, at commit {commit},
{machine} (load {load:.0f} when it began).

A small job (120 rendered scenes at 128 pixels, four views, bundled backbone, 4 epochs of 15 steps,
a sweep of three trials) is done undisturbed, then each fault is injected into the same command.
*Cost* is the time of all tries less that of the undisturbed command; a large part is the start of
Ray and of torch, the same for any job.

| fault | required | outcome | undisturbed | with the fault | cost |
|---|---|---|---|---|---|
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--only", nargs="*", choices=list(SCENARIOS), default=list(SCENARIOS))
    options = parser.parse_args()
    rows, unmet, load = [], 0, os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="raynef-faults-") as folder:
        bench = Bench.make(Path(folder))
        for fault in options.only:
            required, scenario = SCENARIOS[fault]
            sys.stderr.write(f"{time.strftime('%H:%M:%S')} {fault}\n")
            try:
                outcome, word = scenario(bench), "as required"
            except Exception as error:  # noqa: BLE001  # a row of the table, whatever it is
                outcome, word = Outcome(None, None, f"{type(error).__name__}: {error}"), "**NOT**"
                unmet += 1
            rows.append(row(fault, required, word, outcome))
            sys.stderr.write(rows[-1])
            if options.out is not None:  # after each, for it takes long
                options.out.write_text(head(load) + "".join(rows))
    sys.exit(1 if unmet else 0)


def head(load: float) -> str:
    """What made the table."""
    about = environment()
    return HEAD.format(
        date=time.strftime("%Y-%m-%d"),
        commit=(about["git_commit"] or "?")[:7],
        load=load,
        machine=f"{about['machine']['cores']} cores of {about['machine']['processor']}",
    )


def row(fault: str, required: str, word: str, outcome: Outcome) -> str:
    cost = ""
    if outcome.seconds is not None and outcome.undisturbed is not None:
        cost = f"{outcome.seconds - outcome.undisturbed:.0f} s"
    times = [f"{s:.0f} s" if s is not None else "" for s in (outcome.undisturbed, outcome.seconds)]
    note = " ".join(outcome.note.split()).replace("|", "\\|")
    return f"| {fault} | {required} | {word}: {note} | {times[0]} | {times[1]} | {cost} |\n"


if __name__ == "__main__":
    main()
