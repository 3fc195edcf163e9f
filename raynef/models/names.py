"""Names that a person gave to a segmenter's clusters: a table beside its weights.

SEGMENTER/names.tsv          cluster_id, name, color; one line for each named cluster, which may be
                             edited by hand; the color, #rrggbb, may be left out
SEGMENTER/names.history.tsv  every change: time, cluster_id, name before, name after

Two clusters of one name are one class. A change takes the lines that are there and replaces its own
alone, so that two people who name at once do not lose each other's work.
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
from raynef.models.saved import Mapping as ClassMapping

NAMES, HISTORY = "names.tsv", "names.history.tsv"
_HEAD = ("cluster_id", "name", "color")
_COLOR = re.compile(r"#[0-9a-fA-F]{6}")
_LONGEST = 200  # characters of a name


@dataclass(frozen=True)
class Names:
    """Names of some of K clusters.

    Attributes:
        names: by cluster.
        colors: by name, as #rrggbb; of the first line that gives one.
    """

    names: Mapping[int, str] = field(default_factory=dict[int, str])
    colors: Mapping[str, str] = field(default_factory=dict[str, str])

    def classes(self, num_clusters: int) -> ClassMapping | None:
        """Names as classes, in the order of the clusters; None where nothing is named."""
        if not self.names:
            return None
        order = list(dict.fromkeys(self.names[cluster] for cluster in sorted(self.names)))
        index = {name: number for number, name in enumerate(order)}
        classes = tuple(
            index[self.names[cluster]] if cluster in self.names else -1
            for cluster in range(num_clusters)
        )
        return ClassMapping(classes, tuple(order))


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
    for number, line in enumerate(csv.reader(io.StringIO(text), delimiter="\t"), 1):
        cells = [cell.strip() for cell in line]
        if not any(cells) or (number == 1 and cells[0] == _HEAD[0]):
            continue
        try:
            cluster, name, color = int(cells[0]), cells[1], "".join(cells[2:])
        except (IndexError, ValueError):
            raise UserError(
                f"{path}, line {number}: expected cluster_id, name and color, apart by tabs"
            ) from None
        _require(cluster, name, num_clusters, source=f"{path}, line {number}")
        if color and not _COLOR.fullmatch(color):
            raise UserError(f"{path}, line {number}: color must be #rrggbb, got {color!r}")
        if name:
            names[cluster] = name
            if color:
                colors.setdefault(name, color)
    return Names(names, colors)


def change_names(folder: Path, num_clusters: int, changes: Mapping[int, str | None]) -> Names:
    """Name some clusters, or take their names away (None); the names that are there then.

    Raises:
        UserError: a cluster that there is not, or a name that cannot stand in a table.
    """
    for cluster, name in changes.items():
        _require(cluster, name or "", num_clusters, source="name")
    with FileLock(folder / f"{NAMES}.lock"):
        before = read_names(folder, num_clusters)
        names = {**before.names}
        for cluster, name in changes.items():
            if name:
                names[cluster] = name.strip()
            else:
                names.pop(cluster, None)
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        for cluster in changes:
            old, new = before.names.get(cluster, ""), names.get(cluster, "")
            if old != new:
                append_line(folder / HISTORY, f"{stamp}\t{cluster}\t{old}\t{new}")
        found = Names(names, before.colors)
        save_names(folder, found)
    return found


def save_names(folder: Path, names: Names) -> None:
    """Write the table of a segmenter's folder; where nothing is named there is none."""
    if not names.names:
        (folder / NAMES).unlink(missing_ok=True)
        return
    rows = [(str(k), name, names.colors.get(name, "")) for k, name in sorted(names.names.items())]
    write_text(folder / NAMES, "".join("\t".join(row) + "\n" for row in (_HEAD, *rows)))


def _require(cluster: int, name: str, num_clusters: int, *, source: str) -> None:
    if not 0 <= cluster < num_clusters:
        raise UserError(
            f"{source}: there is no cluster {cluster}; there are 0 to {num_clusters - 1}"
        )
    if len(name) > _LONGEST or not name.isprintable() or '"' in name:
        raise UserError(
            f"{source}: a name has at most {_LONGEST} characters, without tabs, line breaks and "
            f"quotes; got {name[:_LONGEST]!r}"
        )
