"""The report of a sweep: its table, what the axes do, and what became of every trial."""

from collections import Counter
from collections.abc import Sequence
from urllib.parse import quote

from raynef.report.ablation import LEAKED
from raynef.report.figures import axis_figures, trial_figures
from raynef.report.gallery import sweep_row
from raynef.report.html import page
from raynef.report.sweep_records import SweepReport, TrialEntry

MAX_ERROR = 4000  # characters
_MAX_NAMED = 3  # failed trials that the warning names
_STATES = ("done", "failed", "damaged", "stopped", "not finished", "not run")


def render_sweep(report: SweepReport) -> str:
    """The whole page as HTML text; write it as UTF-8."""

    def href(run: str) -> str:
        """As seen from the page; a run without a page is opened as a folder."""
        # Quoted, colons too: no name of a folder can become another scheme than a relative path.
        return quote(report.links.get(run, f"{run}/"), safe="/=")

    links = ["Best"] * bool(report.bests) + ["Table", "Plots", "Training", "Gallery", "Trials"]
    best = {trial for found in report.bests for trial in found.trials}
    return page(
        "sweep.html",
        scripts=("tip.js", "chart.js", "wide.js"),
        kicker="raynef sweep",
        title=report.grid.title,
        links=[link for link in links if report.trains or link != "Training"],
        warning=_failures(report.trials),
        summary=_summary(report.trials),
        report=report,
        trials=sorted(
            report.trials, key=lambda trial: (trial.name not in best, not trial.has_failed)
        ),
        best=best,
        plots=[figure for plot in report.plots for figure in axis_figures(plot)],
        curves=trial_figures(report.curves),
        images=[sweep_row(image) for image in report.images],
        href=href,
        max_error=MAX_ERROR,
        leaked_mark=LEAKED,
    )


def _summary(trials: Sequence[TrialEntry]) -> dict[str, int]:
    """How many trials there are, and how many of each state."""
    # "stopped at epoch 3" counts as stopped.
    states = Counter(trial.state.partition(" at ")[0] for trial in trials)
    return {"trials": len(trials), **{state: states[state] for state in _STATES if states[state]}}


def _failures(trials: Sequence[TrialEntry]) -> str | None:
    """What the page says first, where trials failed: how many, and which."""
    failed = [trial for trial in trials if trial.has_failed]
    if not failed:
        return None
    names = ", ".join(trial.about for trial in failed[:_MAX_NAMED])
    more = len(failed) - _MAX_NAMED
    damaged = " or are damaged" if any(trial.state == "damaged" for trial in failed) else ""
    text = f"{len(failed)} of {len(trials)} trials failed{damaged}: {names}"
    return text + (f" and {more} more. " if more > 0 else ". ")
