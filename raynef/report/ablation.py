"""The table of a sweep: a grid of scores with the paper's beside, in Markdown, LaTeX and CSV."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from raynef.report.table import markdown_table, mean_sd, percent

LEAKED, ELSEWHERE, AFTER_CRF = "†", "‡", "§"
"""Marks of a score that labels had leaked into, of one on other data than the paper's, and of the
paper's where it alone is scored after a CRF."""
_LATEX_SCORE = str.maketrans(
    {
        LEAKED: "$^\\dagger$",
        ELSEWHERE: "$^\\ddagger$",
        AFTER_CRF: "$^\\S$",
        "±": "$\\pm$",
        "–": "--",
    }
)
_LATEX_TEXT = str.maketrans(
    {"\\": "\\textbackslash ", "_": "\\_", "&": "\\&", "%": "\\%"}
    | {"α": "$\\alpha$", "β": "$\\beta$", "λ": "$\\lambda$", "ψ": "$\\psi$", "∞": "$\\infty$"}
)


@dataclass(frozen=True)
class Score:
    """One method of one trial, scored."""

    where: Mapping[str, Any]  # coordinates: data, target, method and the axes
    seed: int  # of the trial
    values: Mapping[str, float]  # metrics of the method, 0 to 1
    num_images: int  # that were scored
    run: str  # its folder, as seen from the table
    leaked: bool  # whether labels reached what was trained


@dataclass(frozen=True)
class PaperValue:
    """A number of the paper, in percent, with its marks."""

    value: float
    leaked: bool
    elsewhere: bool
    after_crf: bool = False


@dataclass(frozen=True)
class Entry:
    """One cell: its scores by seed, why it has none, and the paper's value."""

    metric: str
    scores: tuple[Score, ...]
    missing: str | None
    paper: PaperValue | None
    best: bool = False

    @property
    def mean(self) -> float | None:
        """Over the seeds, 0 to 1; None without a score."""
        values = [score.values[self.metric] for score in self.scores]
        return mean_sd(values)[0] if values else None


@dataclass(frozen=True)
class Grid:
    """A table."""

    title: str  # above it
    corner: tuple[str, ...]  # names of the coordinates that tell the rows apart
    columns: tuple[str, ...]  # headings
    rows: tuple[tuple[tuple[str, ...], tuple[Entry, ...]], ...]  # headings and entries of each
    notes: tuple[str, ...]  # what the marks mean, and what made the numbers


def markdown(grid: Grid) -> str:
    """As Markdown; each score is a link to its run, further seeds follow it."""
    rows = [[*names, *map(_markdown_entry, entries)] for names, entries in grid.rows]
    table = markdown_table([*grid.corner, *grid.columns], rows)
    return "\n".join([f"**{grid.title}**", "", *table, "", *(f"{note}\n" for note in grid.notes)])


def latex(grid: Grid) -> str:
    """As a LaTeX tabular with the rules of booktabs."""

    def line(names: Sequence[str], entries: Sequence[Entry] = ()) -> str:
        texts = [name.translate(_LATEX_TEXT) for name in names]
        return " & ".join(texts + [_latex_entry(entry) for entry in entries]) + " \\\\"

    head = line((*grid.corner, *grid.columns))
    rows = [line(names, entries) for names, entries in grid.rows]
    begin = f"\\begin{{tabular}}{{{'l' * len(grid.corner) + 'c' * len(grid.columns)}}}"
    lines = [f"% {grid.title}", begin, "\\toprule", head, "\\midrule", *rows, "\\bottomrule"]
    return "\n".join([*lines, "\\end{tabular}", *(f"% {note}" for note in grid.notes)]) + "\n"


def long_csv(scores: Sequence[Score], papers: Mapping[str, Sequence[PaperValue | None]]) -> str:
    """As CSV, one line for each method and seed, with the paper's values where it has them.

    Args:
        scores: of all cells.
        papers: by metric, the paper's value for each of the scores.
    """
    axes = list(dict.fromkeys(key for score in scores for key in score.where))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    last = "num_images labels_leaked paper_labels_leaked paper_other_data paper_after_crf run"
    head = [*axes, "seed", *papers, *(f"paper_{metric}" for metric in papers), *last.split()]
    writer.writerow(head)
    for score, *found in zip(scores, *papers.values(), strict=True):
        known = next((paper for paper in found if paper is not None), None)
        marks = ("", "", "") if known is None else (known.leaked, known.elsewhere, known.after_crf)
        writer.writerow(
            [*(score.where.get(axis, "") for axis in axes), score.seed]
            + [_percent_of(score, metric) for metric in papers]
            + ["" if paper is None else paper.value for paper in found]
            + [score.num_images, score.leaked, *marks, score.run]
        )
    return text.getvalue()


def _percent_of(score: Score, metric: str) -> str:
    """A score in percent; empty where the protocol does not give it."""
    return f"{100 * score.values[metric]:.4f}" if metric in score.values else ""


def best_of(entries: Sequence[Entry]) -> float | None:
    """The largest mean among entries that compare and saw no label; None of less than two."""
    means = [e.mean for e in entries if e.mean is not None and not is_leaked(e)]
    return max(means) if len(means) > 1 else None


def is_leaked(entry: Entry) -> bool:
    """Whether labels reached what was trained."""
    return any(score.leaked for score in entry.scores)


def shown(entry: Entry) -> str:
    """An entry's own score as text, without the paper's."""
    if not entry.scores:
        return entry.missing or "–"
    text = percent([score.values[entry.metric] for score in entry.scores])
    return text + (LEAKED if is_leaked(entry) else "")


def paper_shown(paper: PaperValue) -> str:
    """The paper's value as text, with its marks."""
    marks = ((LEAKED, paper.leaked), (ELSEWHERE, paper.elsewhere), (AFTER_CRF, paper.after_crf))
    return f"{paper.value:.1f}" + "".join(mark for mark, is_set in marks if is_set)


def _markdown_entry(entry: Entry) -> str:
    text = shown(entry)
    if entry.scores:
        text = f"[{text}]({_quoted(entry.scores[0].run)})"
        text = f"**{text}**" if entry.best else text
        others = [f"[s{score.seed}]({_quoted(score.run)})" for score in entry.scores[1:]]
        text = " ".join([text, *others])
    return text + (f" ({paper_shown(entry.paper)})" if entry.paper else "")


def _latex_entry(entry: Entry) -> str:
    text = shown(entry).translate(_LATEX_SCORE)
    text = f"\\textbf{{{text}}}" if entry.best else text
    return text + (f" ({paper_shown(entry.paper).translate(_LATEX_SCORE)})" if entry.paper else "")


def _quoted(path: str) -> str:
    return path.replace(" ", "%20").replace("(", "%28").replace(")", "%29")
