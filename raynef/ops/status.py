"""Where a folder of raynef stands, told by its files alone: no Ray, no torch, and nothing changed.

``status`` tells what a folder is: a run, several seeds of one, a sweep, a feature store, a STORE of
Deep Spectral Methods, a comparison, or predictions. How its job fares is in ``state.json``, what is
there in the folder's records and results. ``raynef.ops.status_words`` says it in words.
"""

import math
import re
import time
from collections import Counter
from pathlib import Path
from typing import Any

from raynef.config.objective import objective_of
from raynef.core.errors import UserError
from raynef.io.files import read_json
from raynef.io.holds import is_held
from raynef.io.log import LEAVES, LOG
from raynef.io.state import State, read_state
from raynef.jobs.spectral import RECORD
from raynef.stores.journal import JOURNAL, MANIFEST, read_journal
from raynef.stores.predicted import SETTINGS, count_records
from raynef.stores.run import SEEDS, RunFolder, runs_of
from raynef.sweeps.comparison import PLAN
from raynef.sweeps.sweep_folder import open_sweep

Facts = dict[str, Any]

_SCORES = ("miou", "miou_majority", "accuracy", "corloc", "corloc_lost")
_JOBS = ("localize", "object", "semantic", "selftrain")
"""Of a STORE; each leaves JOB.json."""
_TAIL = 64 << 10  # bytes of a log in which its last lines are looked for
_DATED = re.compile(r"\d{4}-\d\d-\d\d \S+ [A-Z]+ ")  # not a further line of what was said
_FRESH_S = 30.0  # a job without a lock that spoke so lately is at work


def status(path: str | Path) -> Facts:
    """Say where a folder stands; the result of ``raynef status``.

    Args:
        path: of a run, a folder of seeds, a sweep, a store, a comparison or predictions.

    Returns:
        ``kind``, ``path``, ``state`` (working, finished, unfinished or failed), and what the kind
        of folder has: see the functions below. ``log`` has the last line of log.txt and its age.

    Raises:
        UserError: nothing of raynef is there, or a record is damaged.
    """
    path = Path(path).absolute()
    if not path.is_dir():
        what = "is a file" if path.exists() else "does not exist"
        raise UserError(f"{path} {what}; give the folder of a run, a sweep, a store or a table")
    looks = {
        "run.json": run_facts,
        SEEDS: seeds_facts,
        "sweep.json": sweep_facts,
        RECORD: spectral_facts,
        PLAN: comparison_facts,
        SETTINGS: prediction_facts,
        MANIFEST: store_facts,
        JOURNAL: store_facts,
    }
    for file, look in looks.items():
        if (path / file).is_file():
            try:
                return {**look(path), "log": log_facts(path)}
            except UserError:
                raise
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise UserError(f"{path / file} is damaged: {error!r}") from error
    names = {entry.name for entry in path.iterdir()}
    if LOG in names and names <= LEAVES:
        state = "working" if is_held(path) else "unfinished"
        return {"kind": "beginning", "path": str(path), "state": state, "log": log_facts(path)}
    raise UserError(
        f"{path} is not a run, folder of seeds, sweep, feature store, spectral store, comparison "
        f"or predictions of raynef: it has none of {', '.join(looks)}"
    )


def _facts(kind: str, path: Path, *, finished: bool, **parts: Any) -> Facts:
    """What every folder of one job has, and ``parts`` of its kind."""
    held = is_held(path)
    now = {"now": now_facts(path) if held else None}
    state = {"state": _state(path, held, finished), "held": held}
    return {"kind": kind, "path": str(path), **state, **now, **parts}


def run_facts(path: Path) -> Facts:
    """A run: the store that it reads, its epochs and steps, the last loss, and its scores."""
    run = RunFolder(path)
    record, recipe, trained = run.record(), run.recipe(), run.finished()
    store = Path(recipe.train.store) if recipe.train.store else run.store
    parts: Facts = {}
    if record.kind == "ours":
        parts["training"] = training_facts(path, recipe.train.epochs, trained)
        loss = parts["training"]["loss"]
        objective = objective_of(recipe, loss) if loss is not None else None
        parts["training"]["objective"] = objective
    return _facts(
        "run",
        path,
        finished=trained is not None,
        method=record.kind,
        trained=trained is not None,
        store=store_facts(store) if store.is_dir() else None,
        skipped=len(trained["skipped"]) if trained else None,
        scores=_scores(run.evaluate_file),
        report=run.report_file.is_file(),
        **parts,
    )


def training_facts(path: Path, epochs: int, trained: Facts | None) -> Facts:
    """Epochs and steps done, and the loss: the last step's, or once done the last epoch's mean.

    A training that ended before its time goes on from the end of its last whole epoch.
    """
    if trained is not None:
        return {
            "epochs": [trained.get("epochs", epochs), epochs],
            "steps": [trained["steps"], trained["steps"]],
            "loss": trained["objective"]["loss"],
        }
    last = read_state(path)
    if last is None or last.stage != "train":
        return {"epochs": [0, epochs], "steps": None, "loss": None}
    done, steps = last.done // last.facts["batch_size"], last.facts["steps"]
    return {
        "epochs": [done * epochs // steps, epochs],
        "steps": [done, steps],
        "loss": last.facts.get("loss"),
    }


def store_facts(path: Path) -> Facts:
    """A feature store, or any folder of shards: how many of them, images in them, and skipped."""
    finished = (path / MANIFEST).is_file()
    if finished:
        manifest = read_json(path / MANIFEST)
        key, shards, skipped = manifest["key"], manifest["shards"], manifest["skipped"]
        total = len(shards)
    else:
        entries = read_journal(path / JOURNAL)
        key = entries[0]["key"] if entries else {}
        shards = [entry["shard"] for entry in entries[1:] if entry.get("shard")]
        skipped = {name for entry in entries[1:] for name in entry.get("skipped", {})}
        total = (read_state(path) or State()).facts.get("shards")
    return _facts(
        "store",
        path,
        finished=finished,
        shards=[len({shard["file"] for shard in shards}), total],
        images=[len({i for shard in shards for i in shard["images"]}), key.get("num_images")],
        views=key.get("num_views", 1),
        bytes=sum(shard["num_bytes"] for shard in shards),
        skipped=len(skipped),
    )


def seeds_facts(path: Path) -> Facts:
    """Each seed's run, the store that they share, and the mean of their scores."""
    runs = {
        run.name: run_facts(run) if (run / "run.json").is_file() else {"state": "to come"}
        for run in runs_of(path)
    }
    return {
        "kind": "seeds",
        "path": str(path),
        "state": _state_of_all([run["state"] for run in runs.values()]),
        "runs": runs,
        "scores": _scores(path / "evaluate.json"),
    }


def sweep_facts(path: Path) -> Facts:
    """How many trials are done, failed, stopped early, working, begun and to come."""
    sweep = open_sweep(path)
    found = sweep.states
    states = {name: trial.state for name, trial in found.items()}
    errors = {name: trial.error for name, trial in found.items() if trial.state == "failed"}
    working = {
        name: now_facts(path / "trials" / name / "run")
        for name, state in states.items()
        if state == "working"
    }
    counted = Counter(states.values())
    search = sweep.space.search
    drawn = search.num_samples if search is not None and search.algorithm == "optuna" else 0
    total = max(len(states), drawn)
    counted["to come"] += total - len(states)
    over = counted["done"] + counted["stopped"] == total
    facts = _facts(
        "sweep",
        path,
        finished=over,
        title=sweep.space.title,
        trials=total,
        counts={
            name: counted[name]
            for name in ("done", "failed", "stopped", "working", "begun", "to come")
        },
        failed=errors,
        working=working,
    )
    ended = counted["done"] + counted["stopped"] + counted["failed"] == total
    if not facts["held"] and not over and ended:
        facts["state"] = "failed"
    return facts


def spectral_facts(path: Path) -> Facts:
    """A STORE: its features and eigenpairs, and the results of the jobs on it."""
    record = read_json(path / RECORD)
    parts: Facts = {}
    for part in ("features", "eigen"):
        inside = path / part
        folder = inside if inside.is_dir() else Path(record.get(part, inside))
        parts[part] = store_facts(folder) if folder.is_dir() else None
    made = [part for part in parts.values() if part is not None]
    finished = len(made) == len(parts) and all(part["state"] == "finished" for part in made)
    held, now = any(part["held"] for part in made), now_facts(path)
    if now is not None and not held and (now["age_s"] > _FRESH_S or now["done"] >= now["total"]):
        now = None
    return {
        "kind": "spectral",
        "path": str(path),
        "state": _state(path, held or now is not None, finished),
        "held": held,
        **parts,
        "jobs": {job: _scores(path / f"{job}.json") for job in _JOBS},
        "now": now,
    }


def comparison_facts(path: Path) -> Facts:
    """How many of the scores that were asked for are there, by column."""
    cells = read_json(path / PLAN)["cells"]
    done, wanted = Counter(), Counter()
    for cell in cells:
        wanted[cell["column"]] += 1
        done[cell["column"]] += (path / cell["file"]).is_file()
    held = any(is_held(run.parent) for run in path.glob("runs/**/run.json"))
    return {
        "kind": "comparison",
        "path": str(path),
        "state": _state(path, held, done.total() == wanted.total()),
        "held": held,
        "scores_done": [done.total(), wanted.total()],
        "columns": {column: [done[column], wanted[column]] for column in wanted},
        "now": now_facts(path) if held else None,
    }


def prediction_facts(path: Path) -> Facts:
    """Results of ``raynef predict``: how many images, of how many; skipped and gone."""
    finished = (path / MANIFEST).is_file()
    manifest = read_json(path / MANIFEST) if finished else {"images": [], "skipped": {}, "gone": {}}
    done = len(manifest["images"]) if finished else count_records(path)
    total = done if finished else (read_state(path) or State()).total or None
    return _facts(
        "prediction",
        path,
        finished=finished,
        images=[done, total],
        skipped=len(manifest["skipped"]),
        gone=len(manifest["gone"]),
    )


def now_facts(path: Path) -> Facts | None:
    """The stage, what is done of it, how fast, how long still, and how old this word is."""
    last = read_state(path)
    if last is None or not last.stage:
        return None
    kept = ("stage", "done", "total", "unit", "rate", "eta_s", "age_s")
    return {name: getattr(last, name) for name in kept}


def log_facts(path: Path) -> Facts | None:
    """The last line of log.txt, and how many seconds ago it was written."""
    log = path / LOG
    if not log.is_file():
        return None
    lines = _tail(log)
    age = round(max(0.0, time.time() - log.stat().st_mtime), 1)
    return {"last": lines[-1] if lines else "", "age_s": age}


def _tail(log: Path) -> list[str]:
    """The last lines of a log, none where there is no log."""
    if not log.is_file():
        return []
    with log.open("rb") as handle:
        handle.seek(max(0, log.stat().st_size - _TAIL))
        return [line for line in handle.read().decode("utf-8", "replace").splitlines() if line]


def _state(path: Path, held: bool, finished: bool) -> str:
    if held:
        return "working"
    if finished:
        return "finished"
    last = read_state(path)
    if last is not None and last.ended is not None:
        return "failed" if last.ended == "failed" else "unfinished"
    # Killed, or of an earlier version, whose log alone says how it ended.
    levels = [line.split(" ", 3)[2] for line in _tail(path / LOG) if _DATED.match(line)]
    return "failed" if levels and levels[-1] == "ERROR" else "unfinished"


def _state_of_all(states: list[str]) -> str:
    for state in ("working", "failed"):
        if state in states:
            return state
    return "finished" if set(states) == {"finished"} else "unfinished"


def _scores(file: Path) -> Facts | None:
    """What a result scored; {} where it has no score, None where there is no result."""
    if not file.is_file():
        return None
    found = read_json(file)
    numbers = {name: found.get(name) for name in _SCORES}
    return {
        name: value
        for name, value in numbers.items()
        if isinstance(value, int | float) and math.isfinite(value)
    }
