"""raynef: unsupervised semantic segmentation with neural eigenfunctions, on Ray.

Rooms, from the ground up: ``core`` (values that cross stages), ``config`` (the recipe), ``io``
(files and places); the stages ``images``, ``features``, ``graph``, ``eigen``, ``assign``,
``segment`` and ``report``; ``cluster`` (Ray in general); ``models`` (what is trained and kept);
``stores`` (folder formats); ``jobs`` (one file a command); ``sweeps`` (what compares runs); ``ops``
(machine, cost and state); ``demo`` and ``cli``. Each imports only rooms before it.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from raynef.models.segmenter import Segmenter

__version__ = "0.1.0"
__all__ = ["Segmenter", "__version__"]


def __getattr__(name: str) -> object:
    """Import ``Segmenter`` (and torch with it) only when it is asked for."""
    if name == "Segmenter":
        from raynef.models.segmenter import Segmenter

        return Segmenter
    raise AttributeError(f"module 'raynef' has no attribute {name!r}")
