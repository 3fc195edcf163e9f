"""raynef: unsupervised semantic segmentation with neural eigenfunctions, on Ray.

Reading order: ``core`` (records), then the stages ``images``, ``features``, ``graph``, ``eigen``,
``assign``, ``segment``, ``report``; ``segmenter`` composes them; ``runtime`` runs them on Ray.
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
