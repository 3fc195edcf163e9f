from typing import Any

import numpy as np

_Array = np.ndarray[Any, Any]

def kmeans2(
    data: _Array,
    k: int,
    iter: int = 10,
    thresh: float = 1e-5,
    minit: str = "random",
    missing: str = "warn",
    check_finite: bool = True,
    *,
    rng: np.random.Generator | None = None,
) -> tuple[_Array, _Array]: ...
def vq(obs: _Array, code_book: _Array, check_finite: bool = True) -> tuple[_Array, _Array]: ...
