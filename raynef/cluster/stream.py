"""One Ray Data pipeline under extraction, streamed training, evaluation and prediction.

A *unit* is a row of plain values: a handful of images that stay together from reading to the end,
or, where preparing makes several parts of them, such as views, to there. Tasks prepare it (read,
decode, crop), an actor of a pool computes on it, and, where given, a task finishes it (writes). A
task's process loads the module of its function: one that does without torch starts ten times as
fast. A lost actor or task means that its unit is done again, whole. Within ``this_process()`` the
same is done without Ray. What tasks note of their input (see ``raynef.core.notes``) is logged here,
each note once.
"""

import logging
import pickle
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from raynef.cluster.place import in_this_process
from raynef.core.notes import noting

if TYPE_CHECKING:
    from raynef.cluster.actors import FeatureActors

logger = logging.getLogger("raynef")

Unit = dict[str, Any]

_AHEAD = 2  # units that threads prepare ahead, in this process; finish behind, where asked
_BYTES_PER_CPU = 64 << 20  # what a bounded stream may hold, or one unit, however large


def stream(
    units: Sequence[Any],
    *,
    prepare: Callable[[Any], Any],
    actor: type | None = None,
    actor_kwargs: dict[str, Any] | None = None,
    actors: "FeatureActors | None" = None,
    finish: Callable[[Any], Any] | None = None,
    in_parts: bool = False,
    in_order: bool = False,
    bounded: bool = False,
    finish_is_slow: bool = False,
    finish_behind: bool = False,
) -> Iterator[Any]:
    """Yield the result of every unit as it is done.

    Args:
        units: what can be pickled.
        prepare: module-level function of a unit, run as a task.
        actor: class whose instances hold a model; called with what ``prepare`` returned;
            None where tasks do it all.
        actor_kwargs: of its constructor, besides ``threads`` and ``device``.
        actors: the pool.
        finish: module-level function of what the actor returned, run as a task.
        in_parts: ``prepare`` returns a list of parts of a unit, each of which goes on alone and has
            a result of its own.
        in_order: yield in the order of ``units``.
        bounded: hold few units at once, ``_BYTES_PER_CPU`` in all; else reading that is faster than
            computing fills Ray's object store.
        finish_is_slow: leave the CPUs to ``finish``. Ray Data shares them out between the stages
            whatever their work, so that half of them would wait for another file to read.
        finish_behind: in this process, finish in threads while the actor goes on; elsewhere tasks
            always do.
    """
    if not units:
        return
    parts = prepare if in_parts else partial(_in_one_part, prepare)
    if in_this_process():
        behind = _AHEAD if finish_behind else 0
        yield from _stream_here(units, parts, actor, actor_kwargs or {}, actors, finish, behind)
        return
    import ray
    import ray.data

    rows = [{"payload": pickle.dumps((unit, set()))} for unit in units]
    dataset = ray.data.from_items(rows, override_num_blocks=len(rows))
    cpus = max(1, int(ray.cluster_resources().get("CPU", 1)))
    most = min(cpus, len(rows)) if finish_is_slow else None
    # Other resources than the actor's, or Ray would fuse the two and decode in the actor.
    dataset = dataset.flat_map(
        _SealedParts(parts),
        num_cpus=0.1 if finish_is_slow else 0.5,
        concurrency=most,
    )
    dataset.context.target_max_block_size = 1  # byte: each part is a block, and goes on at once
    if actor is not None and actors is not None:
        dataset = dataset.map(
            _SealedActor,  # pyright: ignore[reportArgumentType]  # a class, as the docs say
            fn_constructor_kwargs={
                "kind": actor,
                "kwargs": actor_kwargs or {},
                "threads": actors.threads,
                "device": actors.device,
            },
            compute=ray.data.ActorPoolStrategy(size=actors.count),
            num_cpus=actors.num_cpus,
            num_gpus=actors.num_gpus,
            resources=dict(actors.resources),
        )
    if finish is not None:
        dataset = dataset.map(_Sealed(finish), num_cpus=0.5, concurrency=most)
    dataset.context.enable_progress_bars = False
    dataset.context.print_on_execution_start = False
    dataset.context.execution_options.preserve_order = in_order
    dataset.context.execution_options.verbose_progress = False
    if bounded:
        dataset.context.execution_options.resource_limits = ray.data.ExecutionResources.for_limits(
            object_store_memory=_BYTES_PER_CPU * cpus
        )
    said: set[str] = set()
    for row in dataset.iter_rows():
        result, notes = pickle.loads(row["payload"])
        _say(notes, said)
        yield result


def _say(notes: set[str], said: set[str]) -> None:
    """Log what was not said yet."""
    for text in sorted(notes - said):
        logger.info("%s", text)
    said |= notes


def _stream_here(
    units: Sequence[Any],
    prepare: Callable[[Any], Any],
    actor: type | None,
    actor_kwargs: dict[str, Any],
    actors: "FeatureActors | None",
    finish: Callable[[Any], Any] | None,
    behind: int,
) -> Iterator[Any]:
    """The same in this process, in order: threads prepare a few units ahead of the actor, in parts,
    and finish ``behind`` of these behind it.
    """
    compute: Callable[[Any], Any] = _as_it_is
    if actor is not None and actors is not None:
        compute = actor(**actor_kwargs, device=actors.device)
    said: set[str] = set()
    with ThreadPoolExecutor(_AHEAD) as pool, ThreadPoolExecutor(max(1, behind)) as last:
        waiting: deque[Future] = deque()
        finishing: deque[Future] = deque()
        coming = iter(units)
        for unit in islice(coming, _AHEAD):
            waiting.append(pool.submit(_noted, prepare, unit))
        while waiting:
            parts, notes = waiting.popleft().result()
            _say(notes, said)
            waiting.extend(pool.submit(_noted, prepare, unit) for unit in islice(coming, 1))
            parts.reverse()
            while parts:
                computed = compute(parts.pop())
                if finish is None or not behind:
                    yield computed if finish is None else finish(computed)
                    continue
                finishing.append(last.submit(finish, computed))
                del computed
                while len(finishing) >= behind:
                    yield finishing.popleft().result()
        for future in finishing:
            yield future.result()


def _noted(function: Callable[[Any], Any], value: Any) -> tuple[Any, set[str]]:
    """The result, and the notes that were made of the way to it."""
    with noting() as notes:
        return function(value), notes


def _as_it_is(value: Any) -> Any:
    return value


def _in_one_part(prepare: Callable[[Any], Any], unit: Any) -> list[Any]:
    return [prepare(unit)]


class _Sealed:
    """A function of values as a function of rows; our own values travel as one binary column,
    with the notes that were made on their way.
    """

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function = function

    def __call__(self, row: dict[str, bytes]) -> dict[str, bytes]:
        value, notes = pickle.loads(row["payload"])
        result, more = _noted(self.function, value)
        return {"payload": pickle.dumps((result, notes | more), protocol=5)}


class _SealedParts:
    """The same of a function whose result is a list of parts, as a row for each."""

    def __init__(self, function: Callable[[Any], list[Any]]) -> None:
        self.function = function

    def __call__(self, row: dict[str, bytes]) -> Iterator[dict[str, bytes]]:
        value, notes = pickle.loads(row["payload"])
        parts, more = _noted(self.function, value)
        notes |= more
        return ({"payload": pickle.dumps((part, notes), protocol=5)} for part in parts)


class _SealedActor(_Sealed):
    """One actor of the pool: its model is made once, on its GPU or its share of CPU threads."""

    def __init__(self, kind: type, kwargs: dict[str, Any], threads: int, device: str) -> None:
        import torch  # which tasks do without

        torch.set_num_threads(threads)
        super().__init__(kind(**kwargs, device=device))
