"""Tables in Markdown, and one of scores: methods across, rows down, mean ± sd over seeds."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Cell:
    """The scores of one method in one row."""

    miou: tuple[float, ...]  # of each seed, 0 to 1
    accuracy: tuple[float, ...]  # likewise


@dataclass(frozen=True)
class TableRow:
    """A row: its title, images that were scored, and a cell for each method that it has."""

    name: str
    num_images: int
    cells: Mapping[str, Cell]


def mean_sd(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean, and the sample's standard deviation (n − 1); None of a single value."""
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None


def percent(values: Sequence[float]) -> str:
    """Shares as a percentage, ``63.9`` or ``63.9 ± 0.4``."""
    mean, sd = mean_sd(values)
    return f"{100 * mean:.1f}" + (f" ± {100 * sd:.1f}" if sd is not None else "")


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a Markdown table; a "|" within a cell is escaped."""
    return [_line(head), _line(["---"] * len(head)), *map(_line, rows)]


def _line(cells: Sequence[str]) -> str:
    escaped = (cell.replace("|", "\\|") for cell in cells)
    return "|" + "".join(f" {cell} |" if cell else " |" for cell in escaped)


def markdown(
    rows: Sequence[TableRow], titles: Mapping[str, str], *, supervised: frozenset[str]
) -> str:
    """The rows as a Markdown table of "mIoU / accuracy"; the best label-free mIoU of a row is bold.

    Args:
        rows: any of them may lack a method; its cell is a dash.
        titles: of the methods by key, in the order of the columns.
        supervised: methods that saw labels, or captions, in training, which take no part in being
            best.
    """
    lines = []
    for row in rows:
        free = {
            key: mean_sd(cell.miou)[0] for key, cell in row.cells.items() if key not in supervised
        }
        best = max(free, key=free.__getitem__) if len(free) > 1 else None
        shown = [_shown(row.cells.get(key), bold=key == best) for key in titles]
        lines.append([row.name, str(row.num_images), *shown])
    return "\n".join(markdown_table(["", "images", *titles.values()], lines)) + "\n"


def _shown(cell: Cell | None, *, bold: bool) -> str:
    if cell is None:
        return "–"
    miou = percent(cell.miou)
    return f"{f'**{miou}**' if bold else miou} / {percent(cell.accuracy)}"
