"""Runs commands of a tree, one after the other, in one process with one small Ray.

It starts Ray itself, with what ``ray_session`` sets for an embedded one, so that it runs the code
of any commit, wherever that has its session.

Started by ``python -m tests.parity`` with the tree first on the path. Each line of stdin is a
command as a JSON list; each line written to the descriptor in argv[1] is [exit status, stdout].
The command itself is what a user starts: ``raynef.cli.main.main`` with these arguments.
"""

import contextlib
import io
import json
import os
import sys
from collections.abc import Sequence

QUIET = {
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_USAGE_STATS_ENABLED": "0",
}


def main(answers: int) -> None:
    """Run what stdin asks for until it ends."""
    os.environ.update(QUIET)
    import ray

    ray.init(num_cpus=8, include_dashboard=False, log_to_driver=False)
    with os.fdopen(answers, "w") as out:
        for line in sys.stdin:
            out.write(json.dumps(run(json.loads(line))) + "\n")
            out.flush()


def run(argv: Sequence[str]) -> tuple[int, str]:
    """Exit status of a command, and what it wrote to stdout."""
    from raynef.cli.main import main as command

    said = io.StringIO()
    status = 0
    with contextlib.redirect_stdout(said):
        try:
            command(list(argv))
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    return status, said.getvalue()


if __name__ == "__main__":
    main(int(sys.argv[1]))
