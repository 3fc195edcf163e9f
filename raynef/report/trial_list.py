"""All trials of a sweep: what became of each, and why those failed that did."""

from collections.abc import Sequence

from raynef.report.ablation import LEAKED
from raynef.report.grid_table import Link
from raynef.report.markup import Markup, tag
from raynef.report.sweep_records import TrialEntry, TrialScore
from raynef.report.words import number, percent, term

MAX_ERROR = 4000  # characters
_MAX_NAMED = 3  # failed trials that the warning names


def trial_list(trials: Sequence[TrialEntry], link: Link) -> Markup | None:
    """A table with a row for each trial, those that failed first; None without trials."""
    if not trials:
        return None
    heads = [tag("th", name, scope="col") for name in ("trial", "state", "scores", "seconds")]
    rows = [_row(trial, link) for trial in sorted(trials, key=lambda trial: not trial.has_failed)]
    table = tag("table", tag("thead", tag("tr", heads)), tag("tbody", rows), class_="grid list")
    return tag("div", table, class_="wide")


def failures(trials: Sequence[TrialEntry]) -> list[Markup | str] | None:
    """What the page says first, where trials failed: how many, and which."""
    failed = [trial for trial in trials if trial.has_failed]
    if not failed:
        return None
    names = ", ".join(trial.about for trial in failed[:_MAX_NAMED])
    more = len(failed) - _MAX_NAMED
    damaged = " or are damaged" if any(trial.state == "damaged" for trial in failed) else ""
    text = f"{len(failed)} of {len(trials)} trials failed{damaged}: {names}"
    return [
        text + (f" and {more} more. " if more > 0 else ". "),
        tag("a", "Why", href="#trials"),
    ]


def _row(trial: TrialEntry, link: Link) -> Markup:
    error = (trial.error or "")[:MAX_ERROR]
    state = tag("b", trial.state, class_="failed") if trial.has_failed else trial.state
    return tag(
        "tr",
        tag("th", trial.about, tag("small", trial.name), scope="row"),
        tag("td", state, tag("pre", error) if error else None),
        tag("td", [_score(score, link) for score in trial.scores] or "–"),
        tag("td", "–" if trial.seconds is None else number(trial.seconds)),
        class_="failed" if trial.has_failed else None,
    )


def _score(score: TrialScore, link: Link) -> Markup:
    values = ", ".join(f"{term(key).name} {percent(v)}" for key, v in score.values.items())
    mark = f" {LEAKED}" if score.leaked else None
    return tag("div", link(score.run, score.name), " ", values, mark)
