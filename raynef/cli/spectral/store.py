"""What commands on a STORE of eigenpairs share."""

import contextlib
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import arg

from raynef.io.log import logged
from raynef.jobs.spectral import RECORD

Root = Annotated[
    str | None, arg(name="data.root", help="The data set's folder, where it has moved.")
]
Method = Literal["spectral", "cluster-seg", "cluster-patch"]
"""The paper's own, or a baseline of its Table 4."""


def logged_in(store: Path) -> AbstractContextManager[None]:
    """Keep the command's log in the store, where there is one."""
    return logged(store) if (store / RECORD).is_file() else contextlib.nullcontext()
