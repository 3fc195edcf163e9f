"""The report of a sweep: its table, what the axes do, and what became of every trial."""

from collections import Counter

from raynef.report.axis_charts import axis_figures
from raynef.report.grid_table import grid_table, linker
from raynef.report.markup import Markup, tag
from raynef.report.shell import document, page_header, section
from raynef.report.sweep_gallery import sweep_gallery
from raynef.report.sweep_records import SweepReport as SweepReport
from raynef.report.trial_curves import trial_curves
from raynef.report.trial_list import failures, trial_list

_STATES = ("done", "failed", "damaged", "stopped", "not finished", "not run")
_GOES_ON = ("raynef tune", "with the same --out goes on with the sweep.")


def render_sweep(report: SweepReport) -> str:
    """The whole page as HTML text; write it as UTF-8."""
    link = linker(report.links)
    plots = [figure for plot in report.plots for figure in axis_figures(plot)]
    curves = trial_curves(report.curves)
    sections = {
        "Table": section(
            "table",
            "Table",
            "Scores in percent; each leads to the run that made it.",
            grid_table(report.grid, link),
            empty=("The sweep has no cells yet.", *_GOES_ON),
        ),
        "Plots": section(
            "plots",
            "Plots",
            "Scores over each axis that is a number; point at a dot to read its value. Where there "
            "are several seeds, bars show their standard deviation.",
            tag("div", plots, class_="plots") if plots else None,
            empty=("No axis has numbers with scores yet.", *_GOES_ON),
        ),
        "Training": section(
            "training",
            "Training",
            "Each line is one trial over its training steps. Losses of trials whose graph or K "
            "differ are on different scales.",
            tag("div", curves, class_="plots") if curves else None,
            _without_curve(report.num_without_curve) if curves else None,
            empty=("No trial has recorded training steps.", *_GOES_ON),
        ),
        "Gallery": section(
            "gallery",
            "Gallery",
            "The same validation images as several trials see them. Classes have the same color "
            "in every trial; clusters, shown where none were named, do not.",
            sweep_gallery(report.images) if report.images else None,
            tag("p", report.gallery_note, class_="note") if report.gallery_note else None,
            empty=("No trial has finished yet.", *_GOES_ON),
        ),
        "Trials": section(
            "trials",
            "Trials",
            "What became of every trial. Seconds are wall-clock time, with scoring.",
            trial_list(report.trials, link),
            empty=("There are no trials yet.", *_GOES_ON),
        ),
    }
    if not report.trains:
        del sections["Training"]
    header = page_header(
        "raynef sweep",
        report.grid.title,
        links=list(sections),
        warning=failures(report.trials),
        summary=_summary(report),
    )
    return document(report.grid.title, header, list(sections.values()))


def _summary(report: SweepReport) -> dict[str, str | int]:
    """How many trials there are, and how many of each state."""
    # "stopped at epoch 3" counts as stopped.
    states = Counter(trial.state.partition(" at ")[0] for trial in report.trials)
    known = {state: states[state] for state in _STATES if states[state]}
    return {"trials": len(report.trials), **known}


def _without_curve(count: int) -> Markup | None:
    if not count:
        return None
    text = "1 trial has" if count == 1 else f"{count} trials have"
    about = "stopped early, failed at once or not run yet"
    return tag("p", f"{text} recorded no steps: {about}.", class_="note")
