"""The fused search beside the one in blocks: on a GPU, or on any CPU by Triton's interpreter.

TRITON_INTERPRET=1 python -m tests.unit.graph.fused_cases
"""

import torch
from torch import Tensor

from raynef.core.kernel import Kernel
from raynef.graph import build_kernel
from raynef.graph.knn import nearest_neighbors, unit_rows


def check_all(device: str) -> None:
    """Each case, which raises where the two differ."""
    draws = torch.Generator().manual_seed(0)
    plain = torch.randn((400, 40), generator=draws)
    check(
        plain, rows=range(400), k=31, device=device
    )  # neither a tile's rows, columns nor features
    check(plain, rows=range(300, 340), k=12, device=device)  # of one of several workers
    check(plain[:256], rows=range(255, 256), k=31, device=device)
    repeated = plain[torch.randint(0, 9, (512,), generator=draws)]
    check(repeated, rows=range(512), k=20, device=device)  # thresholds that many columns equal
    zeros = plain.clone()
    zeros[100:160] = 0
    check(zeros, rows=range(90, 170), k=25, device=device)
    check(plain, rows=range(20), k=150, device=device)  # too many for groups: in blocks
    check_kernel(device)


def check(features: Tensor, *, rows: range, k: int, device: str) -> None:
    """The same similarities, and where they are all different the same columns."""
    keys = unit_rows(features).to(device)
    queries = keys[rows.start : rows.stop]
    found = nearest_neighbors(queries, keys, num_neighbors=k, first_row=rows.start, search="fused")
    twin = nearest_neighbors(queries, keys, num_neighbors=k, first_row=rows.start)
    torch.testing.assert_close(
        found[1].sort(dim=1).values, twin[1].sort(dim=1).values, atol=1e-6, rtol=0
    )
    again = (queries[:, None] * keys[found[0]]).sum(dim=2).clamp(min=0)
    torch.testing.assert_close(found[1], again, atol=1e-6, rtol=0)  # each value is of its column
    ordered = found[0].sort(dim=1).values
    assert (ordered.diff(dim=1) > 0).all(), "a column twice"
    own = torch.tensor(rows, device=device)[:, None]
    assert (ordered != own).all(), "a patch is its own neighbor"
    distinct = len(torch.unique(features, dim=0)) == len(features)
    if distinct:
        assert torch.equal(ordered, twin[0].sort(dim=1).values)


def check_kernel(device: str) -> None:
    """κ, made of either."""
    draws = torch.Generator().manual_seed(1)
    features = torch.randn((2 * 12 * 12, 24), generator=draws).to(device)
    thumbnails = torch.rand((2, 12, 12, 3), generator=draws).to(device)
    blocks = build_kernel(features, thumbnails, num_neighbors=20, alpha=0.3)
    fused = build_kernel(features, thumbnails, num_neighbors=20, alpha=0.3, search="fused")
    torch.testing.assert_close(dense(fused), dense(blocks), atol=1e-6, rtol=0)


def dense(kernel: Kernel) -> Tensor:
    """[N, N]."""
    return torch.as_tensor(kernel.to_csr().toarray())


if __name__ == "__main__":
    check_all("cpu")
