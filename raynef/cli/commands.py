"""The commands by name, and how a command line becomes one of them."""

import difflib
import importlib
import sys
from collections.abc import Sequence

from raynef import __version__
from raynef.cli.booleans import plain_flags
from raynef.cli.command import Command, Line
from raynef.core.errors import UserError
from raynef.sweeps.methods import BASELINES

COMMANDS = {
    "demo": "demo.Demo",
    "train": "train.Train",
    "evaluate": "evaluate.Evaluate",
    "predict": "predict.Predict",
    "report": "report.Report",
    "name": "name.Name",
    "export": "export.Export",
    "serve": "serve.Serve",
    "extract": "extract.Extract",
    **{f"baseline {name}": "baseline.command_of" for name in BASELINES},
    "compare": "compare.Compare",
    "tune": "tune.Tune",
    "table": "table.Table",
    "data check": "data.DataCheck",
    "spectral eigen": "spectral.eigen.Eigen",
    "spectral localize": "spectral.localize.Localize",
    "spectral object": "spectral.object.Objects",
    "spectral semantic": "spectral.semantic.Semantic",
    "spectral selftrain": "spectral.selftrain.Selftrain",
    "spectral matte": "spectral.matte.Matte",
    "spectral compare": "spectral.compare.CompareSpectra",
    "plan": "plan.Plan",
    "submit": "submit.Submit",
    "status": "status.Status",
    "doctor": "doctor.Doctor",
    "distill": "distill.Distill",
}
"""Name to module and class, within ``raynef.cli``, or a function that gives the class by the last
word of the name. A new command is a module and a line here."""

_HELP = ("-h", "--help")
_JSON = "--json"  # of every command; it may also stand before the name


def parse(argv: Sequence[str]) -> Command:
    """The command that a command line asks for, with what it names read.

    Raises:
        UserError: no such command, or a mistake in what it names; one in its flags, and a request
            for help, exit here.
    """
    kind, line = _find(argv)
    return line.read(kind).complete(line)


def read(argv: Sequence[str]) -> Command:
    """Likewise as it is written: no file that it names is opened."""
    kind, line = _find(argv)
    return line.read(kind)


def _find(argv: Sequence[str]) -> tuple[type[Command], Line]:
    """The class of a command, and what follows its name; ``--`` ends the flags of some."""
    before = [word for word in argv[:1] if word == _JSON]
    argv = argv[len(before) :]
    for count in (2, 1):
        name = " ".join(argv[:count])
        if name in COMMANDS:
            kind, flags = class_of(name), argv[count:]
            cut = flags.index("--") if kind.takes_rest and "--" in flags else len(flags)
            own = plain_flags([*flags[:cut], *before])
            return kind, Line(own, f"raynef {name}", tuple(flags[cut + 1 :]))
    group = argv[0] if argv and any(n.startswith(f"{argv[0]} ") for n in COMMANDS) else ""
    words = argv[1:] if group else argv
    if words and words[0] in _HELP:
        sys.stdout.write(_overview(group))
        sys.exit(0)
    if argv and argv[0] == "--version":
        sys.stdout.write(f"raynef {__version__}\n")
        sys.exit(0)
    which = f"{group}: " if group else ""
    names = _names(group)
    there = f"there {'is' if len(names) == 1 else 'are'}: {', '.join(names)}"
    if not words:
        raise UserError(f"{which}which {_what(group)}? {there.capitalize()}")
    close = difflib.get_close_matches(words[0], names, n=1)
    hint = f"did you mean {close[0]}?" if close else there
    raise UserError(f"{which}no {_what(group)} {words[0]!r}; {hint}")


def class_of(name: str) -> type[Command]:
    """The class of a command, by its name in ``COMMANDS``."""
    module, _, found = COMMANDS[name].rpartition(".")
    kind = getattr(importlib.import_module(f"raynef.cli.{module}"), found)
    return kind if isinstance(kind, type) else kind(name.rpartition(" ")[2])


def _what(group: str) -> str:
    return {"": "command", "data": "tool"}.get(group, "method")


def _names(group: str) -> list[str]:
    """Words that may follow: commands and groups, or the members of a group."""
    if group:
        return [n.removeprefix(f"{group} ") for n in COMMANDS if n.startswith(f"{group} ")]
    return list(dict.fromkeys(name.partition(" ")[0] for name in COMMANDS))


def _overview(group: str) -> str:
    """Every command with its first sentence."""
    shown = [name for name in COMMANDS if not group or name.startswith(f"{group} ")]
    width = max(map(len, shown))
    called = f"raynef {group}".rstrip()
    lines = [f"usage: {called} {_what(group).upper()} … [--help]", ""]
    if not group:
        lines[0] += "  or  raynef --version"
    for name in shown:
        doc = " ".join((class_of(name).__doc__ or "").partition("\n\n")[0].split())
        lines.append(f"  {name:{width}}  {doc.partition('. ')[0].rstrip('.')}.")
    return "\n".join(lines) + "\n"
