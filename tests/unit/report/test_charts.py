"""Charts: round ticks, no lost spike, gaps where values are missing."""

import math
from typing import Any

import numpy as np
import pytest

from raynef.report.chart import MAX_BUCKETS, Axis, Chart, Line, chart
from raynef.report.figures import Figure, training_figures
from raynef.report.html import templates
from raynef.report.scale import scale
from raynef.report.words import number, percent, quantity


def drawn(figure: Figure) -> str:
    """The figure as it stands on a page."""
    macros: Any = templates().get_template("figures.html").module
    return str(macros.figure(figure))


def path_of(found: Chart) -> str:
    ((_, path),) = found.paths
    return path


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 97, (0, 50, 100)),
        (-231.4, -3, (-300, -200, -100, 0)),
        (0.31, 0.98, (0.2, 0.4, 0.6, 0.8, 1.0)),
        (1e-5, 1e-3, (0, 0.0005, 0.001)),
    ],
)
def test_ticks_are_round(low: float, high: float, ticks: tuple[float, ...]) -> None:
    found = scale(low, high, 0, 100, num_ticks=4)
    assert found.ticks == pytest.approx(ticks)
    assert found.low <= low < high <= found.high


@pytest.mark.parametrize(
    ("low", "high", "texts"),
    [
        (0, 1, ["0", "0.5", "1.0"]),
        (0, 1e-3, ["0", "5e−4", "1e−3"]),
        (-250_000, 0, ["−3e5", "−2e5", "−1e5", "0"]),
    ],
)
def test_labels_of_one_axis_are_alike(low: float, high: float, texts: list[str]) -> None:
    found = scale(low, high, 0, 100, num_ticks=3)
    assert [found.text(value) for value in found.ticks] == texts


@pytest.mark.parametrize("value", [0.0, 5.0, -1e-5, 1e6])
def test_a_flat_line_has_a_range(value: float) -> None:
    found = scale(value, value, 0, 100, num_ticks=4)
    assert found.low < value < found.high


@pytest.mark.parametrize(("low", "high"), [(0, 4.6), (39, 231), (0, 1e-3), (-7, 3)])
def test_two_axes_share_a_grid(low: float, high: float) -> None:
    found = scale(low, high, 0, 100, num_ticks=4, intervals=3)
    assert len(found.ticks) == 4
    assert found.low <= low
    assert high <= found.high


def test_many_points_are_thinned_but_no_spike_is_lost() -> None:
    values = np.zeros(20_000)
    values[12_345] = 9.0
    path = path_of(chart("loss", Axis("step"), [Line("c0", range(20_000), values.tolist())]))
    assert path.count("L") <= 2 * MAX_BUCKETS + 2
    heights = [float(point.split()[1]) for point in path[1:].split("L")]
    assert min(heights) < 40  # drawing units from the top: the spike stands
    assert sum(height < 40 for height in heights) == 1


def test_missing_values_make_a_gap() -> None:
    values = [1.0, 2.0, math.nan, 3.0, math.inf, 4.0]
    path = path_of(chart("x", Axis("step"), [Line("c0", range(6), values)]))
    assert path.count("M") == 3
    assert "nan" not in path


def test_charts_show_what_there_is() -> None:
    assert training_figures([]) == []
    assert training_figures([{"step": 0, "note": "no numbers"}]) == []
    assert len(training_figures([{"step": 3, "loss": -1.0}])) == 1
    steps = [{"step": i, "epoch": i, "loss": -i, "tau": 0.5} for i in range(200)]
    figures = [drawn(figure) for figure in training_figures(steps)]
    assert len(figures) == 2
    assert "epoch 50" in figures[0]
    assert figures[0].count('class="middle mark"') <= 8
    assert "nan" not in figures[0]


def test_steps_may_come_in_any_order() -> None:
    steps = [{"step": i, "loss": -float(i)} for i in range(9)]
    assert training_figures(steps[::-1]) == training_figures(steps)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (212800, "212\u202f800"),
        (np.int64(12), "12"),
        (-226.43, "−226.4"),
        (0.0, "0"),
        (1e-5, "1e−5"),
        (2.5e9, "2.5e9"),
        (math.nan, "not a number"),
        (-math.inf, "−∞"),
    ],
)
def test_numbers_are_short(value: float, text: str) -> None:
    assert number(value) == text


def test_fractions_read_as_percent() -> None:
    assert percent(0.62134) == "62.1\u202f%"
    assert quantity("mIoU", np.float64(0.5)) == "50.0\u202f%"
    assert quantity("num_images", 5) == "5"
    assert quantity("backbone", "dino") == "dino"
