"""Faults that the tests must notice, one record each, listed by the stage that they spoil.

``python -m tests.mutate`` plants them one at a time; ``tests/test_mutants.py`` holds each fault's
text against the source, so that the lists cannot rot.
"""

from tests.mutants import assign, eigen, features, graph, images, runtime, segment, spectral
from tests.mutants.mutant import Mutant

MUTANTS: tuple[Mutant, ...] = (
    *assign.MUTANTS,
    *eigen.MUTANTS,
    *features.MUTANTS,
    *graph.MUTANTS,
    *images.MUTANTS,
    *segment.MUTANTS,
    *runtime.MUTANTS,
    *spectral.MUTANTS,
)
