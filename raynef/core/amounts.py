"""Amounts as people read them."""


def in_bytes(amount: float) -> str:
    """12 kB, 3.4 MB, 120 GB: powers of 1,000, as disks are sold."""
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if amount >= size:
            value = amount / size
            return f"{value:.1f} {unit}" if value < 10 else f"{value:.0f} {unit}"
    return f"{amount / 1e3:.0f} kB"


def clock(seconds: float) -> str:
    """4:07, minutes and seconds."""
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes}:{seconds:02d}"
