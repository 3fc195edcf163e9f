"""A sweep's page: the table's marks and links, few lines a chart, failures told first."""

import dataclasses
import math
import re
from collections.abc import Sequence

import numpy as np
import pytest

from raynef.report import figures as makers
from raynef.report.ablation import Entry, Grid, PaperValue, Score
from raynef.report.figures import MAX_LINES, MAX_TRIALS_OF_TERMS
from raynef.report.sweep_page import render_sweep
from raynef.report.sweep_records import (
    AxisLine,
    AxisPlot,
    AxisPoint,
    Curve,
    SweepImage,
    SweepReport,
    TrialEntry,
    TrialMap,
    TrialScore,
)
from tests.unit.report.test_charts import drawn
from tests.unit.report.test_page import HOSTILE, parse, words


def a_score(miou: float, *, seed: int = 0, run: str = "trials/a/run", leaked: bool = False):
    where = {"data": "scn", "method": "ours"}
    return Score(where, seed, {"miou": miou}, num_images=6, run=run, leaked=leaked)


def a_grid(entries: Sequence[Entry]) -> Grid:
    columns = tuple(f"α = {i}" for i in range(len(entries)))
    rows = ((("scn",), tuple(entries)),)
    return Grid(f"Title {HOSTILE}", ("data",), columns, rows, ("In brackets: the paper.",))


def a_page(entries: Sequence[Entry], **parts) -> str:
    return render_sweep(SweepReport(a_grid(entries), **parts))


def an_entry(miou: float, **score) -> Entry:
    return Entry("miou", (a_score(miou, **score),), None, None)


def a_line(name: str, *means: float, paper: AxisLine | None = None) -> AxisLine:
    return AxisLine(name, tuple(AxisPoint(i, (m,)) for i, m in enumerate(means)), paper)


def a_trial(name: str, state: str, **parts) -> TrialEntry:
    return TrialEntry(name, f"about {name}", state, **parts)


def cells(page: str) -> list[str]:
    """The table's cells as HTML."""
    table = page[page.index('<table class="grid">') :]
    return re.findall(r"<td.*?</td>", table[: table.index("</table>")])


def axis_figures(plot: AxisPlot) -> list[str]:
    return [drawn(figure) for figure in makers.axis_figures(plot)]


def trial_figures(curves: Sequence[Curve]) -> list[str]:
    return [drawn(figure) for figure in makers.trial_figures(curves)]


def legends(figures: Sequence[str]) -> list[list[str]]:
    """The names in the legend of each figure."""
    return [
        re.findall(r"</i>([^<]*)", re.findall(r'<ul class="legend">.*?</ul>', figure)[0])
        for figure in figures
    ]


def a_whole_report() -> SweepReport:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (60, 90, 3), dtype=np.uint8)
    index = rng.integers(-1, 5, (60, 90))
    steps = tuple({"step": i, "loss": -0.5 * i, "trace": 0.6 * i} for i in range(9))
    return SweepReport(
        a_grid([an_entry(0.2, run=f"trials/{HOSTILE}/run"), an_entry(0.3)]),
        plots=(AxisPlot(HOSTILE, f"mIoU {HOSTILE}", (a_line(HOSTILE, 0.1, 0.2),), (0, 1)),),
        curves=(Curve(HOSTILE, steps),),
        num_without_curve=2,
        images=(SweepImage(HOSTILE, image, (TrialMap(HOSTILE, index, classes=True),)),),
        gallery_note=HOSTILE,
        trials=(
            TrialEntry(HOSTILE, HOSTILE, "failed", error=HOSTILE),
            a_trial(
                "b", "done", scores=(TrialScore(HOSTILE, {"miou": 0.3}, f"x/{HOSTILE}"),), seconds=9
            ),
        ),
        links={"trials/a/run": f"{HOSTILE}/report.html"},
    )


def test_hostile_names_stay_text() -> None:
    page = render_sweep(a_whole_report())
    parser = parse(page)
    assert HOSTILE not in "".join(parser.scripts)
    assert not [key for _, attrs in parser.seen for key in attrs if key.startswith("on")]
    assert "".join(parser.text).count(HOSTILE) >= 10


def test_page_loads_nothing_and_links_only_into_its_folder() -> None:
    page = render_sweep(a_whole_report())
    assert (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-" in page
    )
    for tag, attrs in parse(page).seen:
        assert tag not in {"link", "iframe", "object", "base"}
        assert (attrs.get("src") or "data:").startswith("data:")
        assert not re.match(r"[a-z]+:|/", attrs.get("href") or "")


def test_a_run_cannot_be_a_scheme() -> None:
    page = a_page([an_entry(0.2, run="javascript:alert(1)")])
    assert 'href="javascript%3Aalert%281%29/"' in page


def test_links_lead_to_sections() -> None:
    seen = parse(render_sweep(a_whole_report())).seen
    anchors = {attrs["id"] for tag, attrs in seen if tag == "section"}
    hrefs = {attrs["href"] or "" for tag, attrs in seen if tag == "a"}
    assert {href[1:] for href in hrefs if href.startswith("#")} == anchors


def test_scores_link_to_the_report_of_their_run_or_else_its_folder() -> None:
    page = a_page(
        [an_entry(0.2), an_entry(0.3, run="trials/b=1/run")],
        links={"trials/a/run": "trials/a/run/report.html"},
    )
    first, second = cells(page)
    assert '<a href="trials/a/run/report.html">20.0</a>' in first
    assert '<a href="trials/b=1/run/">30.0</a>' in second


def test_further_seeds_are_links_of_their_own() -> None:
    scores = (a_score(0.2), a_score(0.4, seed=7, run="trials/b/run"))
    (cell,) = cells(a_page([Entry("miou", scores, None, None)]))
    assert "30.0 ± 14.1" in cell
    assert '<small><a href="trials/b/run/">s7</a></small>' in cell


def test_only_the_best_is_bold() -> None:
    entries = [an_entry(0.2), dataclasses.replace(an_entry(0.3), best=True)]
    plain, best = cells(a_page(entries))
    assert "<b>" not in plain
    assert "<b>" in best


def test_marks_and_the_papers_value_stand_beside() -> None:
    paper = PaperValue(38.6, leaked=True, elsewhere=True)
    leaked = dataclasses.replace(an_entry(0.2, leaked=True), paper=paper)
    own, other = cells(a_page([leaked, an_entry(0.3)]))
    assert ">20.0†<" in own
    assert 'class="leaked"' in own
    assert '<span class="paper">(38.6†‡)</span>' in own
    assert "†" not in other
    assert "leaked" not in other
    assert "In brackets: the paper." in words(a_page([leaked]))


def test_cells_without_scores_tell_why() -> None:
    failed, stopped, empty = cells(
        a_page([Entry("miou", (), why, None) for why in ("failed", "stopped at epoch 3", None)])
    )
    assert '<span class="failed">failed</span>' in failed
    assert "stopped at epoch 3" in stopped
    assert "–" in empty


@pytest.mark.parametrize(("num_lines", "num_charts"), [(1, 1), (4, 1), (5, 2), (9, 3)])
def test_a_chart_has_few_lines(num_lines: int, num_charts: int) -> None:
    lines = tuple(a_line(f"l{i}", 0.1 * i, 0.2) for i in range(num_lines))
    figures = axis_figures(AxisPlot("α", "mIoU (%)", lines, (0, 1)))
    assert len(figures) == num_charts
    assert [figure.count("<path ") <= MAX_LINES for figure in figures] == [True] * num_charts
    assert sum(figure.count("<path ") for figure in figures) == num_lines
    assert [name for names in legends(figures) for name in names] == [line.name for line in lines]


def test_the_papers_line_counts_and_is_named() -> None:
    same = a_line("paper (other data)", 0.38, 0.39)
    lines = tuple(a_line(name, 0.2, 0.3, paper=same) for name in ("a", "b", "c", "d"))
    figures = axis_figures(AxisPlot("α", "mIoU (%)", lines, (0, 1)))
    assert legends(figures) == [["a", "b", "c", same.name], ["d", same.name]]

    own = tuple(
        a_line(n, 0.2, 0.3, paper=a_line("paper", 0.3, 0.1 * i)) for i, n in enumerate("ab")
    )
    figures = axis_figures(AxisPlot("α", "mIoU (%)", own, (0, 1)))
    assert legends(figures) == [["a", "b", "a: paper", "b: paper"]]


def test_error_bars_show_the_deviation_over_seeds() -> None:
    points = (AxisPoint(0, (0.2, 0.4)), AxisPoint(1, (0.3, 0.3)), AxisPoint(2, (0.3,)))
    (figure,) = axis_figures(AxisPlot("α", "mIoU (%)", (AxisLine("a", points),), (0, 1, 2)))
    bars = [line for line in re.findall(r"<line [^>]*>", figure) if 'class="c0"' in line]
    assert len(bars) == 3  # a bar and its two ends, where seeds differ
    heights = sorted({float(y) for line in bars for y in re.findall(r'y\d="([\d.]+)"', line)})
    dots = [float(y) for y in re.findall(r'cy="([\d.]+)"', figure)]
    assert len(heights) == 2
    assert np.mean(heights) == pytest.approx(dots[0], abs=0.1)
    assert "30.0 ± 14.1, 2 seeds" in figure


def test_axes_are_named_and_ticked_where_the_values_are() -> None:
    points = tuple(AxisPoint(k, (0.3,)) for k in (64, 128, 256, 512))
    plot = AxisPlot("K", "mIoU (%)", (AxisLine("a", points),), (64, 128, 256, 512), log=True)
    (figure,) = axis_figures(plot)
    texts = re.findall(r"<text[^>]*>([^<]*)", figure)
    assert {"K", "mIoU (%)", "64", "128", "256", "512"} <= set(texts)
    places = [float(x) for x in re.findall(r'cx="([\d.]+)"', figure)]
    assert np.diff(places) == pytest.approx(np.diff(places)[0], abs=0.2)


def test_a_search_has_dots_and_no_lines() -> None:
    points = tuple(AxisPoint(at, (0.1 * at,)) for at in (0.5, 3.0, 2.0))
    plot = AxisPlot("lr", "objective (%)", (AxisLine("a", points),), log=True, joined=False)
    (figure,) = axis_figures(plot)
    assert figure.count("<circle ") == 3
    assert "<path " not in figure


def test_a_line_without_scores_is_no_chart() -> None:
    assert axis_figures(AxisPlot("α", "mIoU (%)", (AxisLine("a", ()),), (0, 1))) == []


@pytest.mark.parametrize(("num_trials", "lines"), [(1, [1]), (4, [4]), (5, [2, 3]), (9, [3, 3, 3])])
def test_curves_are_spread_over_charts(num_trials: int, lines: list[int]) -> None:
    curves = [Curve(f"t{i}", ({"step": 0, "loss": 1.0},)) for i in range(num_trials)]
    found = legends(trial_figures(curves))
    assert [len(names) for names in found] == lines
    assert [name for names in found for name in names] == [curve.name for curve in curves]


def test_charts_of_one_quantity_have_one_scale() -> None:
    curves = [
        Curve(f"t{i}", tuple({"step": step, "loss": float(step * i)} for step in range(2 + i)))
        for i in range(6)
    ]
    lines = tuple(a_line(f"l{i}", 0.1 * i, 0.15 * i) for i in range(6))
    for figures in (
        makers.trial_figures(curves),
        makers.axis_figures(AxisPlot("α", "mIoU (%)", lines, (0, 1))),
    ):
        first, second = (figure.chart for figure in figures)
        assert first.x == second.x
        assert first.y_axes == second.y_axes


def test_terms_are_shown_of_few_trials_alone() -> None:
    steps = ({"step": 0, "loss": -1.0, "trace": 2.0}, {"step": 1, "loss": -2.0, "trace": 2.5})
    few = trial_figures([Curve("t", steps)])
    assert len(few) == 2
    many = trial_figures([Curve("t", steps)] * (MAX_TRIALS_OF_TERMS + 1))
    assert not [figure for figure in many if "Trace" in figure]


def test_curves_may_be_of_unlike_length_and_have_holes() -> None:
    long = Curve("long", tuple({"step": i, "loss": -float(i)} for i in range(6)))
    short = Curve("short", ({"step": 0, "loss": math.nan}, {"step": 1, "loss": -7.0}, {"x": 1}))
    (figure,) = trial_figures([long, short])
    assert "last −7" in figure
    assert "nan" not in figure
    assert trial_figures([Curve("none", ({"step": 0, "loss": None},))]) == []


def test_a_step_that_was_repeated_counts_once() -> None:
    again = Curve(
        "t", ({"step": 0, "loss": 1.0}, {"step": 1, "loss": 5.0}, {"step": 1, "loss": 2.0})
    )
    (figure,) = trial_figures([again])
    assert "last 2" in figure


def test_failed_trials_are_told_first() -> None:
    trials = [a_trial("fine", "done"), *(a_trial(f"bad{i}", "failed", error="x") for i in range(5))]
    page = a_page([an_entry(0.2)], trials=tuple(trials))
    text = words(page)
    warning = "5 of 6 trials failed: about bad0, about bad1, about bad2 and 2 more."
    assert text.index(warning) < text.index("Scores in percent")
    assert page.index("<small>bad4</small>") < page.index("<small>fine</small>")
    assert page.count('<tr class="failed">') == 5
    assert "role" not in a_page([an_entry(0.2)], trials=(trials[0],)).split("<main>")[0]


def test_errors_are_told_in_full_and_escaped() -> None:
    trial = a_trial("bad", "damaged", error=f"JSONDecodeError {HOSTILE}")
    page = a_page([an_entry(0.2)], trials=(trial,))
    assert f"JSONDecodeError {HOSTILE}" in "".join(parse(page).text)
    assert "1 of 1 trials failed or are damaged" in words(page)


def test_every_state_is_counted_and_listed() -> None:
    states = ("done", "stopped at epoch 3", "stopped at epoch 9", "not run")
    trials = tuple(a_trial(f"t{i}", state) for i, state in enumerate(states))
    text = words(a_page([an_entry(0.2)], trials=trials))
    assert "trials 4 done 1 stopped 2 not run 1" in text
    for state in states:
        assert state in text


def test_scores_of_a_trial_have_links_and_marks() -> None:
    score = TrialScore("Ours", {"miou": 0.3123}, "trials/a/run", leaked=True)
    page = a_page([an_entry(0.2)], trials=(a_trial("t", "done", scores=(score,), seconds=15.8),))
    assert '<a href="trials/a/run/">Ours</a> mIoU 31.2\u202f% †' in page
    assert "15.8" in words(page)


def test_trials_without_steps_are_counted() -> None:
    curve = Curve("t", ({"step": 0, "loss": 1.0},))
    assert "3 trials have recorded no steps" in words(
        a_page([an_entry(0.2)], curves=(curve,), num_without_curve=3)
    )
    assert "recorded no steps" not in words(a_page([an_entry(0.2)], curves=(curve,)))


def test_the_gallery_names_each_trial_and_what_it_shows() -> None:
    image = np.zeros((60, 90, 3), np.uint8)
    maps = (
        TrialMap("α = 0", np.zeros((60, 90), int), classes=True),
        TrialMap("α = 1", np.full((60, 90), 7), classes=False),
    )
    page = a_page([an_entry(0.2)], images=(SweepImage("a.jpg", image, maps),))
    alts = [attrs["alt"] for tag, attrs in parse(page).seen if tag == "img"]
    assert alts == ["a.jpg: image", "a.jpg: classes of α = 0", "a.jpg: clusters of α = 1"]
    with pytest.raises(ValueError, match=r"map of α = 0 must be \[H, W\] = \[60, 80\]"):
        SweepImage("a.jpg", image[:, :80], maps)


def test_a_gallery_without_images_tells_why() -> None:
    assert "images cannot be read: gone" in words(
        a_page([an_entry(0.2)], gallery_note="The images cannot be read: gone")
    )


def test_an_empty_sweep_names_the_command() -> None:
    page = render_sweep(SweepReport(Grid("Empty", (), (), (), ())))
    text = words(page)
    for hint in ("no cells yet", "No trial has finished yet", "There are no trials yet"):
        assert hint in text
    assert text.count("raynef tune") == 5
    assert "<table" not in page
    assert "<svg" not in page


def test_a_report_is_the_same_each_time() -> None:
    assert render_sweep(a_whole_report()) == render_sweep(a_whole_report())
