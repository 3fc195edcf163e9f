"""What is at the bottom of an exception, also within those in which Ray wraps it."""

from collections.abc import Iterator
from typing import Any


def cause_within(error: BaseException, kind: type[Exception]) -> Exception | None:
    """The first cause of a kind, if there is one."""
    for found in causes(error):
        # Ray's wrapper is an instance of its cause's class too; its text is a traceback.
        if isinstance(found, kind) and not type(found).__module__.startswith("ray."):
            return found
    return None


def causes(error: BaseException) -> Iterator[BaseException]:
    """An exception and what caused it."""
    seen: set[int] = set()
    queue: list[Any] = [error]
    while queue:
        found = queue.pop()
        if id(found) in seen or not isinstance(found, BaseException):
            continue
        seen.add(id(found))
        yield found
        queue += [found.__cause__, getattr(found, "cause", None)]
        queue += list(getattr(found, "worker_failures", {}).values())
