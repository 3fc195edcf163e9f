"""Records that cross stages, and the few helpers that every stage may use.

One legend of shape letters, used in every docstring:

    N  patches of the global batch (all images, all workers)
    n  patches of this worker's slice of the global batch
    D  features of one patch            K  eigenfunctions = clusters
    C  classes of a benchmark           B  images
    h×w  patch grid of one image        H×W  pixels of one image
    T  taps of the backbone (block 0, block n/2, last)

Rows are ordered image by image, row-major over the patch grid.
"""

IGNORE = 255
"""In label maps: this pixel is not scored."""
