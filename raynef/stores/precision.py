"""In which precision the features of a store are computed.

A frozen backbone computes in bfloat16 on a GPU or a processor that has it, else in float32, unless
``backbone.precision`` asks for one of them. All actors of a pool are alike (see
``feature_actors``), so that the driver knows from the pool, whatever it runs on itself. A store
keeps the precision in which it was begun: it is a part of its key, and what the actors compute in
when it is finished elsewhere. So the shards of a store are alike, and a store that was made on GPUs
is read where there are none.
"""

from pathlib import Path
from typing import Any, get_args

from raynef.cluster.session import feature_actors
from raynef.config.sections import AskedPrecision
from raynef.core.errors import UserError
from raynef.features.precision import Precision
from raynef.stores.progress import begun_key

_NAME = "feature_precision"


def precision_for(folder: Path, asked: AskedPrecision) -> Precision:
    """The precision of a store, by ``backbone.precision``: what is asked for; of ``auto`` that in
    which it was begun, else that of the actors that will make it.

    Needs a running Ray where nothing was begun.
    """
    begun = begun_key(folder) if asked == "auto" else None
    return feature_actors().precision(asked) if begun is None else precision_of(begun)


def with_precision(key: dict[str, Any], precision: Precision) -> dict[str, Any]:
    """A store's key with the precision of its features; float32 goes without saying."""
    return key if precision == "float32" else {**key, _NAME: precision}


def precision_of(key: dict[str, Any]) -> Precision:
    """The precision that a store's key tells of. Raises UserError: one that is not known here."""
    precision = key.get(_NAME, "float32")
    if precision not in get_args(Precision):
        known = " and ".join(get_args(Precision))
        raise UserError(f"a feature store was made in {precision!r}; this raynef knows {known}")
    return precision
