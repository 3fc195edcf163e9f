"""Where a folder stands, in words: one line for each part of it."""

from collections.abc import Callable, Iterator
from typing import Any

from raynef.core.amounts import clock, in_bytes

Facts = dict[str, Any]

_SCORES = {
    "miou": "mIoU",
    "miou_majority": "mIoU by majority",
    "accuracy": "accuracy",
    "corloc": "CorLoc",
    "corloc_lost": "CorLoc of LOST",
}
_STATES = {
    "working": "at work",
    "finished": "finished",
    "unfinished": "not finished, and no process holds it: the same command goes on",
    "failed": "ended by a failure; the same command goes on",
}


def in_words(facts: Facts) -> list[str]:
    """The lines of ``raynef status``, of what ``raynef.ops.status.status`` returned."""
    title, parts = _KINDS[facts["kind"]]
    lines = [f"{facts['path']}: {title(facts)}, {_STATES[facts['state']]}"]
    lines += [f"  {name:<10}{words}" for name, words in parts(facts)]
    if facts.get("now") is not None:
        lines.append(f"  {'now':<10}{_stage(facts['now'])}")
    log = facts.get("log")
    if log is not None:
        lines.append(f"  {'log.txt':<10}{ago(log['age_s'])}: {log['last']}")
    return lines


def _made_by(kind: str) -> str:
    """The command that makes a run of a kind."""
    return "raynef train" if kind == "ours" else f"raynef baseline {kind}"


def ago(seconds: float) -> str:
    """4 s ago, 12 min ago, 3.5 h ago, 2 days ago."""
    if seconds < 120:
        return f"{seconds:.0f} s ago"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min ago"
    if seconds < 172_800:
        return f"{seconds / 3600:.1f} h ago"
    return f"{seconds / 86_400:.0f} days ago"


def _run(facts: Facts) -> Iterator[tuple[str, str]]:
    if facts["store"] is not None:
        yield "features", _shards(facts["store"])
    if "training" in facts:
        yield "train", _training(facts["training"], finished=facts["trained"])
    else:
        yield "made", "yes" if facts["trained"] else "not yet"
    yield "evaluate", _scored(facts["scores"])
    if facts["skipped"]:
        yield "skipped", f"{facts['skipped']} file(s), listed in train.json"


def _training(training: Facts, *, finished: bool) -> str:
    done, epochs = training["epochs"]
    words = f"{done} of {epochs} epochs"
    if training["steps"] is not None:
        words += "" if finished else f", step {training['steps'][0]} of {training['steps'][1]}"
    if training["loss"] is not None:
        words += f", loss {training['loss']:.3f}, objective {training['objective']:.3f}"
    return words


def _shards(store: Facts) -> str:
    done, total = store["shards"]
    images, of = store["images"]
    words = f"{done} of {total if total is not None else '?'} shards, {images} "
    words += f"of {of} images" if of not in (None, images) else "images"
    if store["views"] > 1:
        words += f" in {store['views']} views"
    words += f", {in_bytes(store['bytes'])}"
    return words + (f", {store['skipped']} skipped" if store["skipped"] else "")


def _scored(scores: Facts | None) -> str:
    if scores is None:
        return "not yet"
    shown = [f"{_SCORES[name]} {100 * value:.1f} %" for name, value in scores.items()]
    return ", ".join(shown) or "done"


def _stage(now: Facts) -> str:
    words = f"{now['stage']}: {now['done']} of {now['total']} {now['unit']}"
    if now["rate"]:
        words += f", {now['rate']:.1f} {now['unit']}/s"
    if now["eta_s"]:
        words += f", {clock(now['eta_s'])} left"
    return f"{words} ({ago(now['age_s'])})"


def _store(facts: Facts) -> Iterator[tuple[str, str]]:
    yield "shards", _shards(facts)


def _seeds(facts: Facts) -> Iterator[tuple[str, str]]:
    for name, run in facts["runs"].items():
        words = run["state"]
        if run.get("training"):
            words += ", " + _training(run["training"], finished=run["trained"])
        if run.get("scores"):
            words += ", " + _scored(run["scores"])
        yield name, words
    yield "evaluate", _scored(facts["scores"])


def _sweep(facts: Facts) -> Iterator[tuple[str, str]]:
    counts = [f"{count} {name}" for name, count in facts["counts"].items() if count]
    yield "trials", f"{facts['trials']}: {', '.join(counts)}"
    for name, now in facts["working"].items():
        yield "working", name + (f": {_stage(now)}" if now else "")
    for name, error in facts["failed"].items():
        yield "failed", f"{name}: {error.strip().splitlines()[-1] if error.strip() else error}"


def _spectral(facts: Facts) -> Iterator[tuple[str, str]]:
    for part in ("features", "eigen"):
        yield part, _shards(facts[part]) if facts[part] else "not yet"
    for job, scores in facts["jobs"].items():
        if scores is not None:
            yield job, _scored(scores)


def _comparison(facts: Facts) -> Iterator[tuple[str, str]]:
    yield "scores", "{} of {}".format(*facts["scores_done"])
    for column, (done, total) in facts["columns"].items():
        yield column, f"{done} of {total}"


def _prediction(facts: Facts) -> Iterator[tuple[str, str]]:
    done, total = facts["images"]
    words = f"{done} images" if done == total else f"{done} of {total if total else '?'} images"
    words += f", {facts['skipped']} skipped" if facts["skipped"] else ""
    yield "images", words + (f", {facts['gone']} gone since" if facts["gone"] else "")


_KINDS: dict[str, tuple[Callable[[Facts], str], Callable[[Facts], Iterator[tuple[str, str]]]]] = {
    "run": (lambda facts: f"a run of {_made_by(facts['method'])}", _run),
    "store": (lambda facts: "a feature store", _store),
    "seeds": (lambda facts: f"{len(facts['runs'])} seeds of one recipe", _seeds),
    "sweep": (lambda facts: f"a sweep ({facts['title']})", _sweep),
    "spectral": (lambda facts: "eigenpairs of raynef spectral", _spectral),
    "comparison": (lambda facts: "a comparison", _comparison),
    "prediction": (lambda facts: "results of raynef predict", _prediction),
    "beginning": (lambda facts: "a job that has only begun", lambda facts: iter(())),
}
"""What each is, and the lines of its parts."""
