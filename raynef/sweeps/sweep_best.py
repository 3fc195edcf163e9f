"""The best points of a sweep, and all its scores as parallel coordinates."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from raynef.report.ablation import Score
from raynef.report.parallel import Column, Parallel, parallel
from raynef.report.sweep_records import Best
from raynef.report.table import mean_sd, percent
from raynef.report.words import plain_number
from raynef.sweeps.space import INCOMPARABLE
from raynef.sweeps.sweep_folder import SweepFolder
from raynef.sweeps.sweep_plots import is_log
from raynef.sweeps.table import heading, name_of, shown_value


@dataclass(frozen=True)
class Found:
    """A score of a sweep, with its trial."""

    trial: str
    score: Score

    @property
    def scored_on(self) -> str:
        """The data set that it was measured on."""
        return str(self.score.where.get("target", self.score.where["data"]))

    @property
    def point(self) -> tuple[tuple[str, Any], ...]:
        """What it has in common with other seeds."""
        return tuple(self.score.where.items())


def found_scores(sweep: SweepFolder) -> list[Found]:
    """All scores that there are."""
    pairs = ((cell.trial, sweep.score(cell)) for cell in sweep.record.cells)
    return [Found(trial, score) for trial, score in pairs if score is not None]


def metric_of(sweep: SweepFolder, found: Sequence[Found]) -> str | None:
    """What trials are compared by; None where nothing is that compares them.

    A search has its own. A grid is compared by mIoU where labels gave one, else by the first of its
    metrics; where none was measured by the objective, unless an axis makes that incomparable.
    """
    if sweep.space.search is not None:
        return sweep.space.search.metric
    measured = {name for one in found for name in one.score.values}
    wanted = [name for name in ("miou", *sweep.space.metrics) if name in measured]
    if not any(axis.key in INCOMPARABLE for axis in sweep.space.axes):
        wanted += ["objective"] * ("objective" in measured)
    return wanted[0] if wanted else None


def best_points(sweep: SweepFolder) -> tuple[Best, ...]:
    """The best point on each data set where several compare, by the mean over its seeds.

    What saw labels in its training takes no part.
    """
    found = found_scores(sweep)
    metric = metric_of(sweep, found)
    if metric is None:
        return ()
    return tuple(
        Best(
            seeds[0].scored_on,
            _about(dict(seeds[0].point), others),
            shown_value("metric", metric),
            tuple(one.score.values[metric] for one in seeds),
            metric in ("agreement", "objective"),
            tuple(one.trial for one in seeds),
            seeds[0].score.run,
        )
        for seeds, others in _best(found, metric)
    )


def _best(found: Sequence[Found], metric: str) -> list[tuple[list[Found], list[tuple]]]:
    """Of each data set the scores of the best point, and all points that were scored on it."""
    by_data: dict[str, dict[tuple, list[Found]]] = {}
    for one in found:
        if metric in one.score.values:
            by_data.setdefault(one.scored_on, {}).setdefault(one.point, []).append(one)
    bests = []
    for points in by_data.values():
        means = {
            point: mean_sd([one.score.values[metric] for one in seeds])[0]
            for point, seeds in points.items()
            if not any(one.score.leaked for one in seeds)
        }
        if len(means) > 1:
            bests.append((points[max(means, key=means.__getitem__)], list(points)))
    return bests


def coordinates(sweep: SweepFolder) -> Parallel | None:
    """All scores over what varies among them; None where fewer than two coordinates do."""
    found = found_scores(sweep)
    metric = metric_of(sweep, found)
    found = [one for one in found if metric in one.score.values]
    if metric is None or len(found) < 2:
        return None
    columns = [
        _column(key, [one.score.where.get(key) for one in found])
        for key in dict.fromkeys(key for one in found for key in one.score.where)
    ]
    columns.append(Column("seed", tuple(float(one.score.seed) for one in found)))
    columns = [column for column in columns if len(set(column.values)) > 1]
    if len(columns) < 2:
        return None
    scores = Column(
        shown_value("metric", metric),
        tuple(round(100 * one.score.values[metric], 1) for one in found),
    )
    seeds = len({one.score.seed for one in found}) > 1
    titles = [
        "\n".join(
            [
                *(name_of(key, value) for key, value in one.score.where.items()),
                *[f"seed {one.score.seed}"] * seeds,
                f"{scores.name} {percent([one.score.values[metric]])}",
            ]
        )
        for one in found
    ]
    best = {one.point for seeds, _ in _best(found, metric) for one in seeds}
    return parallel([*columns, scores], titles, [one.point in best for one in found])


def _column(key: str, values: Sequence[Any]) -> Column:
    plain = [plain_number(value) for value in values]
    if any(value is None for value in plain):
        return Column(heading(key), tuple(shown_value(key, value) for value in values))
    known = tuple(float(value) for value in plain if value is not None)
    return Column(heading(key), known, log=is_log(sorted(set(known))))


def _about(point: Mapping[str, Any], others: Sequence[tuple]) -> str:
    """What tells a point from the others."""
    same = set.intersection(*map(set, others))
    parts = [name_of(k, v) for k, v in point.items() if (k, v) not in same and k != "target"]
    return ", ".join(parts)
