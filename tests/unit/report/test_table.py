"""The table: mean ± sd, the best without labels, a dash where a method is missing."""

import numpy as np

from raynef.report.table import Cell, TableRow, markdown, markdown_table, mean_sd, percent

TITLES = {"kmeans": "K-means", "ours": "Ours", "probe": "probe"}


def test_mean_and_sample_standard_deviation():
    values = [0.61, 0.64, 0.70]
    mean, sd = mean_sd(values)
    assert sd is not None
    np.testing.assert_allclose([mean, sd], [np.mean(values), np.std(values, ddof=1)])
    assert mean_sd([0.5]) == (0.5, None)
    assert percent(values) == "65.0 ± 4.6"
    assert percent([0.5]) == "50.0"


def test_markdown():
    rows = [
        TableRow(
            "a",
            148,
            {
                "kmeans": Cell((0.6, 0.62), (0.8, 0.82)),
                "ours": Cell((0.63, 0.65), (0.83, 0.85)),
                "probe": Cell((0.9, 0.9), (0.95, 0.95)),
            },
        ),
        TableRow("b", 7, {"ours": Cell((0.5,), (0.25,))}),
    ]
    assert markdown(rows, TITLES, supervised=frozenset({"probe"})).splitlines() == [
        "| | images | K-means | Ours | probe |",
        "| --- | --- | --- | --- | --- |",
        "| a | 148 | 61.0 ± 1.4 / 81.0 ± 1.4 | **64.0 ± 1.4** / 84.0 ± 1.4 "
        "| 90.0 ± 0.0 / 95.0 ± 0.0 |",
        "| b | 7 | – | 50.0 / 25.0 | – |",
    ]


def test_a_bar_within_a_cell_ends_no_column():
    text = markdown([TableRow("a|b", 1, {})], {"ours": "Ours"}, supervised=frozenset())
    assert text.splitlines()[2] == "| a\\|b | 1 | – |"
    assert markdown_table(["", "b"], [["", "x"]]) == ["| | b |", "| --- | --- |", "| | x |"]
