"""Names of a segmenter's clusters, by a person or proposed by texts: a table beside its weights.

SEGMENTER/names.tsv          cluster_id, name, color; one line for each named cluster, which may be
                             edited by hand; the color, #rrggbb, may be left out. A fourth column,
                             source, says which text model proposed a name that no person gave
SEGMENTER/names.history.tsv  every change: time, cluster_id, name before, name after

Two clusters of one name are one class, but for two names that are none: ``noise`` is a cluster that
shows nothing worth a class, ``unsure`` one that was looked at and left. Both stand in the table, so
that nobody is asked again; what is segmented has no class there.

A change takes the lines that are there and replaces its own alone, so that two people who name at
once do not lose each other's work.
"""

import csv
import io
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock

from raynef.core.errors import UserError
from raynef.io.files import append_line, write_text
from raynef.models.folder import Mapping as ClassMapping

NOISE, UNSURE = "noise", "unsure"
NO_CLASS = (NOISE, UNSURE)
"""Names that make no class."""
NAMES, HISTORY = "names.tsv", "names.history.tsv"
_HEAD = ("cluster_id", "name", "color", "source")
_COLOR = re.compile(r"#[0-9a-fA-F]{6}")
_LONGEST = 200  # characters of a name


@dataclass(frozen=True)
class Names:
    """Names of some of K clusters.

    Attributes:
        names: by cluster.
        colors: by name, as #rrggbb; of the first line that gives one.
        sources: by cluster, the text model that proposed its name; a person's have none.
    """

    names: Mapping[int, str] = field(default_factory=dict[int, str])
    colors: Mapping[str, str] = field(default_factory=dict[str, str])
    sources: Mapping[int, str] = field(default_factory=dict[int, str])

    def classes(self, num_clusters: int) -> ClassMapping | None:
        """Names as classes, in the order of the clusters; None where no name makes a class."""
        named = [self.names[cluster] for cluster in sorted(self.names)]
        order = [name for name in dict.fromkeys(named) if name not in NO_CLASS]
        if not order:
            return None
        index = {name: number for number, name in enumerate(order)}
        classes = tuple(index.get(self.names.get(k, ""), -1) for k in range(num_clusters))
        return ClassMapping(classes, tuple(order))

    def settled(self) -> list[int]:
        """Clusters of which it is known what they are: those with a name, but ``unsure``."""
        return [cluster for cluster, name in sorted(self.names.items()) if name != UNSURE]


class NamesChangedError(UserError):
    """Clusters have other names by now than whoever changes them has seen; nothing was changed."""


def read_names(folder: Path, num_clusters: int) -> Names:
    """The names in a segmenter's folder, of its K clusters; none where there is no table.

    Raises:
        UserError: a line that is none, or names a cluster that there is not, with its number.
    """
    path = folder / NAMES
    if not path.is_file():
        return Names()
    try:
        text = path.read_text(encoding="utf-8-sig")  # as a spreadsheet may have saved it
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8: {error}") from error
    names: dict[int, str] = {}
    colors: dict[str, str] = {}
    sources: dict[int, str] = {}
    for number, line in enumerate(csv.reader(io.StringIO(text), delimiter="\t"), 1):
        cells = [cell.strip() for cell in line]
        if not any(cells) or (number == 1 and cells[0] == _HEAD[0]):
            continue
        try:
            cluster, name, color, source = int(cells[0]), cells[1], *[*cells[2:4], "", ""][:2]
        except (IndexError, ValueError):
            raise UserError(
                f"{path}, line {number}: expected cluster_id, name and color, apart by tabs"
            ) from None
        require_name(cluster, name, num_clusters, source=f"{path}, line {number}")
        if color and not _COLOR.fullmatch(color):
            raise UserError(f"{path}, line {number}: color must be #rrggbb, got {color!r}")
        if name:
            names[cluster] = name
            if color:
                colors.setdefault(name, color)
            if source:
                sources[cluster] = source
    return Names(names, colors, sources)


def change_names(
    folder: Path,
    num_clusters: int,
    changes: Mapping[int, str | None],
    *,
    seen: Mapping[int, str | None] | None = None,
    source: str = "",
) -> Names:
    """Name some clusters, or take their names away (None); the names that are there then.

    Args:
        folder: the segmenter's.
        num_clusters: K.
        changes: the new name of each.
        seen: names of the same clusters that are to be replaced; None for whatever there is.
        source: the text model that proposes them; "" for a person.

    Raises:
        NamesChangedError: a cluster has not the name by now that was seen.
        UserError: a cluster that there is not, or a name that cannot stand in a table.
    """
    for cluster, name in changes.items():
        require_name(cluster, name or "", num_clusters, source="name")
    with FileLock(folder / f"{NAMES}.lock"):
        before = read_names(folder, num_clusters)
        for cluster, name in (seen or {}).items():
            if before.names.get(cluster, "") != (name or ""):
                found = before.names.get(cluster)
                is_now = f"was named {found!r}" if found else "lost its name"
                raise NamesChangedError(f"cluster {cluster} {is_now} by somebody else meanwhile")
        names, sources = {**before.names}, {**before.sources}
        for cluster, name in changes.items():
            names.pop(cluster, None)
            sources.pop(cluster, None)
            if name and name.strip():
                names[cluster] = name.strip()
                if source:
                    sources[cluster] = source
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        olds = {cluster: before.names.get(cluster, "") for cluster in changes}
        lines = [
            f"{stamp}\t{cluster}\t{old}\t{new}"
            for cluster, old in olds.items()
            if old != (new := names.get(cluster, ""))
        ]
        if lines:
            append_line(folder / HISTORY, "\n".join(lines))
        found = Names(names, before.colors, sources)
        save_names(folder, found)
    return found


def save_names(folder: Path, names: Names) -> None:
    """Write the table of a segmenter's folder; where nothing is named there is none."""
    if not names.names:
        (folder / NAMES).unlink(missing_ok=True)
        return
    rows = [
        (str(k), name, names.colors.get(name, ""), names.sources.get(k, ""))
        for k, name in sorted(names.names.items())
    ]
    width = 4 if names.sources else 3
    lines = ["\t".join(row[:width]) + "\n" for row in (_HEAD, *rows)]
    write_text(folder / NAMES, "".join(lines))


def require_name(cluster: int, name: str, num_clusters: int, *, source: str) -> None:
    """Raise UserError: a cluster that there is not, or a name that cannot stand in a table."""
    if not 0 <= cluster < num_clusters:
        raise UserError(
            f"{source}: there is no cluster {cluster}; there are 0 to {num_clusters - 1}"
        )
    if len(name) > _LONGEST or not name.isprintable() or '"' in name:
        raise UserError(
            f"{source}: a name has at most {_LONGEST} characters, without tabs, line breaks and "
            f"quotes; got {name[:_LONGEST]!r}"
        )
