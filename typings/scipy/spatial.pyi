from typing import Any

import numpy as np

_Array = np.ndarray[Any, Any]

class KDTree:
    def __init__(self, data: _Array) -> None: ...
    def query(self, x: _Array, k: int = 1, *, workers: int = 1) -> tuple[_Array, _Array]: ...
