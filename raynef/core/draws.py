"""Random draws that depend on what is drawn for, never on which worker draws."""

import hashlib

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
