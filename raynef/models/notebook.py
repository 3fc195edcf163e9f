"""How a picture is shown: where a notebook runs in its cell, else in the system's viewer."""

import io
import sys

import numpy as np
from PIL import Image


def show(png: bytes) -> None:
    """Show a picture."""
    if "IPython" in sys.modules:
        from IPython.core.getipython import get_ipython  # pyright: ignore

        if get_ipython() is not None:
            from IPython.display import Image as Cell  # pyright: ignore
            from IPython.display import display  # pyright: ignore

            display(Cell(data=png))
            return
    Image.open(io.BytesIO(png)).show()


def as_png(pixels: np.ndarray) -> bytes:
    """Of uint8 [H, W, 3]."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()
