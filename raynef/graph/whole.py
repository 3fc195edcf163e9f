"""One graph over many patches at once, whatever image they are of: the nodes of an exact solver."""

import numpy as np
import scipy.sparse
from torch import Tensor

from raynef.core.affinity import Affinity
from raynef.core.kernel import from_scipy
from raynef.graph.knn import nearest_neighbors


def whole_affinity(nodes: Tensor, num_neighbors: int) -> Affinity:
    """W = ½(S + Sᵀ), S the directed affinity of Eq. 2 (arXiv:2304.02841) over all nodes.

    Nothing n×n is held: similarities are made in blocks of rows, of which the nearest are kept.

    Args:
        nodes: unit rows, float32 [n, D].
        num_neighbors: k, capped at n - 1.

    Returns:
        At most 2·n·k entries, as one image of n nodes; a node without a similarity above 0 has no
        edge.
    """
    size = len(nodes)
    columns, values = nearest_neighbors(nodes, nodes, num_neighbors=num_neighbors, first_row=0)
    starts = np.arange(size + 1) * columns.shape[1]
    parts = (values.flatten().cpu().numpy(), columns.flatten().cpu().numpy(), starts)
    directed = scipy.sparse.csr_array(parts, shape=(size, size))
    symmetric = ((directed + directed.T) / 2).tocsr()
    symmetric.eliminate_zeros()
    return Affinity(None, None, from_scipy(symmetric))
