"""One deliberate fault."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Mutant:
    """A change of the source that at least one of the named tests must notice.

    Attributes:
        name: unique, for ``--only`` and for the table.
        file: of the source, relative to the repository.
        old: text to replace; it occurs in the file exactly once.
        new: what takes its place.
        tests: test files or nodes, run without Ray.
        why: which number would be wrong.
    """

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    why: str

    def applied(self, root: Path) -> str:
        """The mutated source.

        Raises:
            ValueError: the text to replace does not occur exactly once.
        """
        text = (root / self.file).read_text(encoding="utf-8")
        count = text.count(self.old)
        if count != 1:
            raise ValueError(
                f"mutant {self.name}: the text to replace must occur exactly once in {self.file}, "
                f"found {count} times; adapt its record in tests/mutants"
            )
        return text.replace(self.old, self.new)
