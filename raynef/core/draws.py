"""Random draws that depend on what is drawn for, never on which worker draws."""

import contextlib
import hashlib
from collections.abc import Generator

import numpy as np


def seed_of(*keys: int | str) -> int:
    """A 63-bit seed from a tuple such as ``("gumbel", seed, epoch, image)``."""
    digest = hashlib.blake2b("/".join(map(str, keys)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def lowest(numbers: np.ndarray, count: int) -> np.ndarray:
    """Places of the ``count`` lowest numbers, ascending; all where there are fewer.

    Of points with a uniform number each: a uniform draw, whichever worker has which point.
    """
    return np.sort(np.argsort(numbers, kind="stable")[:count])


def generator(*keys: int | str) -> np.random.Generator:
    """A NumPy generator of its own for the given keys."""
    return np.random.Generator(np.random.PCG64(seed_of(*keys)))


@contextlib.contextmanager
def torch_seeded(*keys: int | str) -> Generator[None]:
    """Within the block torch's draws on the CPU follow from the keys; after it, as before it."""
    import torch  # slow to import, and most callers of this module do without

    with torch.random.fork_rng(devices=[]):  # pyright: ignore[reportUnknownMemberType]
        torch.manual_seed(seed_of(*keys))  # pyright: ignore[reportUnknownMemberType]
        yield
