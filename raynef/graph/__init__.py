"""graph: from patch features and thumbnails to the sparse kernel κ (Eqs. 2 to 4)."""

from raynef.core.kernel import Kernel
from raynef.graph.kernel import PIXEL_NEIGHBORS, build_kernel

__all__ = ["PIXEL_NEIGHBORS", "Kernel", "build_kernel"]
