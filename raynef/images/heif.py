"""HEIC, as phones take photographs: decoded by pillow-heif, of the extra ``heic``."""

import functools

from raynef.core.errors import BadImageError

SUFFIXES = frozenset({".heic", ".heif"})
FORMAT = "HEIF"
"""As Pillow calls it, once it can be decoded."""
_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


def is_heif(encoded: bytes) -> bool:
    """Whether the bytes of a file begin as those of HEIC do, whatever its name."""
    return encoded[4:8] == b"ftyp" and encoded[8:12] in _BRANDS


def require_decoder() -> None:
    """Let Pillow know the format. Raises BadImageError: the extra is not installed."""
    if not _registered():
        raise BadImageError("HEIC needs the extra heic: pip install 'raynef[heic]'")


@functools.cache
def _registered() -> bool:
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener(thumbnails=False)
    return True
