from typing import Any

import numpy as np

_Array = np.ndarray[Any, Any]

def linear_sum_assignment(cost_matrix: _Array, maximize: bool = False) -> tuple[_Array, _Array]: ...
def nnls(A: _Array, b: _Array) -> tuple[_Array, float]: ...
