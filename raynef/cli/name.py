"""``raynef name``."""

from pathlib import Path

from raynef.cli.command import Command, Positional, Result
from raynef.core.errors import UserError


class Name(Command):
    """Name clusters, or say which are named: predict, export and report then speak of classes."""

    run: Positional[Path]
    """Folder of the run, or of a segmenter."""
    names: Positional[tuple[str, ...]] = ()
    """As NUMBER=NAME, such as 3=sky; NUMBER= takes a name away. Two clusters may have one name."""
    cut: int | None = None
    """Numbers are those of groups, as raynef predict --cut N shows them."""

    def execute(self) -> Result:
        from raynef.jobs.naming import name_clusters

        return name_clusters(self.run, dict(map(_pair, self.names)), cut=self.cut)


def _pair(text: str) -> tuple[int, str | None]:
    number, equals, name = text.partition("=")
    if not equals or not number.strip().isdecimal():
        raise UserError(f"a name is given as NUMBER=NAME, such as 3=sky; got {text!r}")
    return int(number), name.strip() or None
