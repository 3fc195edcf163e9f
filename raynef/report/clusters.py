"""Cards of the largest clusters: each is shown by the patches that define it."""

from collections.abc import Sequence

import numpy as np

from raynef.report.embed import photo, shrink
from raynef.report.gallery import swatch
from raynef.report.markup import Markup, tag
from raynef.report.records import ClusterCard
from raynef.report.words import percent

PATCH_SIZE = 96  # pixels; shown at about half of that, sharp on dense screens
MAX_PATCHES = 9


def cluster_cards(cards: Sequence[ClusterCard], colors: np.ndarray) -> Markup:
    """One card per cluster in the given order; ``colors`` uint8 [num_colors, 3]."""
    return tag("div", [_card(card, colors) for card in cards], class_="cards")


def _card(card: ClusterCard, colors: np.ndarray) -> Markup:
    shown = card.patches[:MAX_PATCHES]
    pictures = [
        photo(_fit(patch), alt=f"cluster {card.cluster}, patch {i + 1}")
        for i, patch in enumerate(shown)
    ]
    name = card.class_name or "no class"
    purity = None if card.purity is None else f" · {percent(card.purity)} pure"
    return tag(
        "article",
        tag("div", pictures, class_="patches"),
        tag(
            "h3",
            swatch(colors[card.cluster]),
            tag("span", name, class_=None if card.class_name else "muted"),
            tag("small", f"cluster {card.cluster}"),
        ),
        tag("p", f"{percent(card.share)} of patches", purity),
        class_="card",
    )


def _fit(patch: np.ndarray) -> np.ndarray:
    size = min(PATCH_SIZE, max(patch.shape[:2]))
    return shrink(patch, (size, size))
