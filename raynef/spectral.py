"""Deep Spectral Methods (arXiv:2205.07839) from Python: what ``raynef spectral …`` runs.

``eigen`` makes a store of features and eigenpairs; ``localize``, ``segment_objects``, ``semantic``
and ``selftrain`` read things off it; ``matte`` takes one photograph; ``compare_spectra`` sets a
trained ψ beside exact eigenvectors.
"""

from raynef.jobs.spectral.bridge import compare_spectra
from raynef.jobs.spectral.eigen import eigen
from raynef.jobs.spectral.localize import localize
from raynef.jobs.spectral.matte import matte
from raynef.jobs.spectral.objects import segment_objects
from raynef.jobs.spectral.selftrain import selftrain
from raynef.jobs.spectral.semantic import semantic

__all__ = [
    "compare_spectra",
    "eigen",
    "localize",
    "matte",
    "segment_objects",
    "selftrain",
    "semantic",
]
