from typing import Any

import numpy as np

_Array = np.ndarray[Any, Any]

def label(input: _Array, structure: _Array | None = None, output: _Array | None = None) -> int: ...
def maximum_filter(input: _Array, size: int) -> _Array: ...
