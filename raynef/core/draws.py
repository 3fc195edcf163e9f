"""Random draws that depend on what is drawn for, never on which worker draws."""

import hashlib

import numpy as np


def seed_of(*keys: int | str) -> int:
    """A 63-bit seed from a tuple such as ``("gumbel", seed, epoch, image)``."""
    digest = hashlib.blake2b("/".join(map(str, keys)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def generator(*keys: int | str) -> np.random.Generator:
    """A NumPy generator of its own for the given keys."""
    return np.random.Generator(np.random.PCG64(seed_of(*keys)))
