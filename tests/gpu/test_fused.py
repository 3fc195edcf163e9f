"""The fused search on a GPU (by hand, where there is one: pytest -m gpu)."""

import pytest
import torch

from tests.unit.graph.fused_cases import check, check_all

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


def test_it_finds_what_blocks_find():
    check_all("cuda")


def test_it_does_at_the_size_of_a_step():
    features = torch.randn((7200, 384), generator=torch.Generator().manual_seed(0))
    check(features, rows=range(7200), k=256, device="cuda")
