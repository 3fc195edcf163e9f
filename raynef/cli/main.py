"""Entry point: parse, run, print the result; exit 0 success, 1 failure, 2 the user's mistake.

On a terminal the result is a table, elsewhere or with ``--json`` one JSON line.
"""

import contextlib
import json
import logging
import math
import os
import sys
import warnings
from pathlib import Path
from typing import Any

from raynef import __version__
from raynef.cli.command import Command, Exit, Result
from raynef.cli.commands import parse
from raynef.cluster.causes import cause_within, causes
from raynef.cluster.interrupt import Terminated, terminable
from raynef.cluster.place import placed
from raynef.core.errors import BadImageError, DiskFullError, NonFiniteLossError, UserError
from raynef.io.files import disk_full_message, full_disk_reason, json_text
from raynef.io.log import warnings_once
from raynef.report.screen import Screen, heard_on, progress_on, screen

logger = logging.getLogger("raynef")

_STATUS = {UserError: 2, BadImageError: 2, NonFiniteLossError: 1, OSError: 1}
"""Exit status of failures that one line explains; any other shows its traceback and is 1."""


def main(argv: list[str] | None = None) -> None:
    """``raynef``: human text on stderr, the result on stdout."""
    argv = sys.argv[1:] if argv is None else argv
    terminable()
    found = screen(sys.stderr)
    with heard_on(found), warnings_once():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        status = _run(argv, found)
    sys.exit(status)


def _run(argv: list[str], found: Screen) -> int:
    try:
        try:
            command = parse(argv)
        except BrokenPipeError:  # of the help
            return _nobody_reads()
        if command.loads_torch:
            logger.info("raynef %s: loading PyTorch", __version__)
        # Ray prints warnings; stdout is for results.
        with placed(command.place), contextlib.redirect_stdout(sys.stderr), progress_on(found):
            result = command.execute()
    except KeyboardInterrupt as error:
        how = "terminated" if isinstance(error, Terminated) else "interrupted"
        logger.error("raynef: %s; rerun the same command to resume", how)
        return 1
    except Exception as error:
        full = _full_disk_within(error)
        if full is not None:
            logger.error("raynef: %s", full)
            return 1
        for kind, status in _STATUS.items():  # Ray wraps what its workers raise
            cause = cause_within(error, kind)
            if cause is not None:
                logger.error("raynef: %s", cause)
                return status
        logger.exception("raynef: failed")
        return 1
    try:
        return _print(command, result)
    except BrokenPipeError:
        return _nobody_reads()


def _nobody_reads() -> int:
    """The exit status where the reader of stdout has closed it, as ``head`` does: nothing is left
    to say, at the end of the process either."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 128 + 13  # as a shell says that SIGPIPE ended a command


def _print(command: Command, result: Result | Exit) -> int:
    """Write the result to stdout; the exit status."""
    if isinstance(result, Exit):
        status, line = result.status, result.line
    else:
        status, line = 0 if result.get("ok", True) else 1, json_text(_plain(result))
    if line is None:
        return status
    if command.json or not sys.stdout.isatty():
        sys.stdout.write(line + "\n")
    elif not (command.says_result and sys.stderr.isatty()):
        from raynef.report.result_table import print_result

        print_result(json.loads(line), sys.stdout)
    sys.stdout.flush()
    return status


def _full_disk_within(error: BaseException) -> str | None:
    """One line, if a full disk is at the bottom of it, whichever library met it."""
    said = None
    for found in causes(error):
        if isinstance(found, DiskFullError) and not type(found).__module__.startswith("ray."):
            return str(found)
        reason = full_disk_reason(found)
        if reason is not None and said is None:
            said = disk_full_message(getattr(found, "filename", None), reason)
    return said


def _plain(value: Any) -> Any:
    """NaN and infinity have no place in JSON: null."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value
