"""Round ticks, and values to places along an axis."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """Maps ``low..high`` (exponents where ``log``) to ``start..stop``, with round ticks."""

    low: float
    high: float
    start: float
    stop: float
    ticks: tuple[float, ...]
    digits: int
    log: bool = False

    def __call__(self, value: float) -> float:
        share = ((math.log10(value) if self.log else value) - self.low) / (self.high - self.low)
        return self.start + share * (self.stop - self.start)

    def text(self, value: float) -> str:
        """A round tick's label; all labels of one axis have as many decimals."""
        largest = max(abs(self.low), abs(self.high))
        if value == 0:
            return "0"
        if not 1e-2 <= largest < 1e5:
            mantissa, exponent = f"{value:.1e}".split("e")
            return f"{mantissa.removesuffix('.0')}e{int(exponent)}".replace("-", "−")
        return f"{value:.{self.digits}f}".replace("-", "−")


def scale(
    low: float,
    high: float,
    start: float,
    stop: float,
    *,
    num_ticks: int,
    tight: bool = False,
    intervals: int | None = None,
) -> Scale:
    """Ticks at 1, 2 or 5 times a power of ten; the range ends at ticks unless ``tight``.

    With ``intervals`` there are exactly so many between the ticks, so that two axes share a grid.
    """
    if high - low <= 1e-9 * max(abs(low), abs(high), 1e-12):  # a flat line sits in the middle
        pad = abs(low) * 0.1 or 1.0
        low, high = low - pad, high + pad
    raw = (high - low) / num_ticks
    power = 10.0 ** math.floor(math.log10(raw))
    steps = [factor * power for factor in (1, 2, 5, 10, 20, 50, 100)]
    step = next(step for step in steps if step >= raw * (1 - 1e-9))
    if intervals is not None:
        covers = [s for s in steps if (math.floor(low / s + 1e-9) + intervals) * s >= high]
        # Where zero lies inside, one side may never be covered by so few: free ticks then.
        step = covers[0] if covers else step
        high = (math.floor(low / step + 1e-9) + intervals) * step if covers else high
    if not tight:
        low, high = math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step
    first = math.ceil(low / step - 1e-9)
    count = math.floor(high / step + 1e-9) - first + 1
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    ticks = tuple(round((first + i) * step, digits) + 0.0 for i in range(count))
    return Scale(low, high, start, stop, ticks, digits)
