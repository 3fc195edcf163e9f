"""Faults that the tests must notice, one record each, listed by the stage that they spoil.

``python -m tests.mutate`` plants them one at a time; ``tests/unit/house/test_mutants.py`` holds
each fault's text against the source, so that the lists cannot rot.

Left out, because nothing that is computed depends on them:

* IoU of cluster and class with t/(a + b) for t/(a + b - t): one grows with the other, so that the
  best class is the same;
* the draw of K-means' patches without its bound on what tasks hand over: the lowest numbers are
  the same; only memory grows.
"""

from tests.mutants import assign, eigen, features, graph, images, jobs, segment, spectral
from tests.mutants.mutant import Mutant

MUTANTS: tuple[Mutant, ...] = (
    *assign.MUTANTS,
    *eigen.MUTANTS,
    *features.MUTANTS,
    *graph.MUTANTS,
    *images.MUTANTS,
    *segment.MUTANTS,
    *jobs.MUTANTS,
    *spectral.MUTANTS,
)
