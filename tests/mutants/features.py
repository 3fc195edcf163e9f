"""Faults of raynef/features: what the graph and ψ see of an image."""

from tests.mutants.mutant import Mutant

_TAPS = ("tests/unit/features/test_backbone.py",)
_EXTRACT = ("tests/unit/features/test_extract.py",)
_ATTENTION = ("tests/unit/features/test_attention.py",)

MUTANTS = (
    Mutant(
        "tap-of-the-middle",
        "raynef/features/taps.py",
        "output_of(blocks[len(blocks) // 2])",
        "output_of(blocks[len(blocks) // 3])",
        _TAPS,
        "ψ sees block 0, block n/2 and the last",
    ),
    Mutant(
        "tap-of-the-last",
        "raynef/features/backbone.py",
        "torch.stack([first, middle, last], dim=1)",
        "torch.stack([last, middle, first], dim=1)",
        _TAPS,
        "the graph is made of the last tap",
    ),
    Mutant(
        "prefix-tokens-kept",
        "raynef/features/taps.py",
        "return output[:, num_prefix:]",
        "return output[:, :tokens]",
        _TAPS,
        "class and register tokens are no patches",
    ),
    Mutant(
        "keys-are-queries",
        "raynef/features/taps.py",
        'getattr(blocks[-1], "attn", None), "key"',
        'getattr(blocks[-1], "attn", None), "query"',
        _TAPS,
        "DINO's affinities are of the last block's keys",
    ),
    Mutant(
        "input-not-normalized",
        "raynef/features/extract.py",
        "images = (unit - mean) / std",
        "images = (unit - 0.5) / 0.5",
        _EXTRACT,
        "pixels are normalized by the backbone's own mean and deviation",
    ),
    Mutant(
        "thumbnail-aliased",
        "raynef/features/extract.py",
        'mode="bilinear", antialias=True',
        'mode="bilinear", antialias=False',
        _EXTRACT,
        "the pixel graph is of the antialiased thumbnail",
    ),
    Mutant(
        "padding-is-valid",
        "raynef/features/extract.py",
        "inside = limits // backbone.patch_size",
        "inside = -(-limits // backbone.patch_size)",
        _EXTRACT,
        "a patch with a pixel of padding enters no graph, norm, loss or K-means",
    ),
    Mutant(
        "attention-ignores-masks",
        "raynef/features/attention.py",
        "asks_more = attn_mask is not None or dropout_p",
        "asks_more = dropout_p",
        _ATTENTION,
        "what a mask hides is not attended to",
    ),
    Mutant(
        "attention-overlaps-blocks",
        "raynef/features/attention.py",
        "out=found[some, top : top + rows]",
        "out=found[some, : len(found[0, top : top + rows])]",
        _ATTENTION,
        "each block of queries has its own place",
    ),
)
