"""Faults of raynef/segment: from patch logits and eigenvectors to pixels, masks and boxes."""

from tests.mutants.mutant import Mutant

_WINDOWS = ("tests/unit/segment/test_windows.py",)
_UPSAMPLE = ("tests/unit/segment/test_upsample.py",)
_CRF = ("tests/unit/segment/test_crf.py",)
_TOP = ("tests/unit/segment/test_probabilities.py",)
_BOXES = ("tests/unit/segment/test_boxes.py",)

MUTANTS = (
    Mutant(
        "windows-last",
        "raynef/segment/windows.py",
        "return (*range(0, last, stride), last)",
        "return tuple(range(0, last + 1, stride))",
        _WINDOWS,
        "the last window is flush with the border",
    ),
    Mutant(
        "windows-average",
        "raynef/segment/windows.py",
        "side /= side.sum(dim=(1, 2))[:, None, None]",
        "side /= side.sum(dim=(1, 2)).amax()",
        _WINDOWS,
        "logits are averaged over the windows that cover a pixel",
    ),
    Mutant(
        "upsample-centers",
        "raynef/segment/upsample.py",
        "+ 0.5) * cell - 0.5",
        "+ 0.0) * cell - 0.0",
        _UPSAMPLE,
        "bilinear upsampling between centers",
    ),
    Mutant(
        "upsample-rivals",
        "raynef/segment/upsample.py",
        "can_win = high >= low.amax(dim=-1, keepdim=True)",
        "can_win = high >= high.amax(dim=-1, keepdim=True)",
        _UPSAMPLE,
        "a cluster that wins some pixel of a block is interpolated there",
    ),
    Mutant(
        "crf-reach",
        "raynef/segment/crf.py",
        "bilateral_sxy: float = 67.0",
        "bilateral_sxy: float = 80.0",
        _CRF,
        "potentials of the published evaluation",
    ),
    Mutant(
        "crf-iterations",
        "raynef/segment/crf.py",
        "iterations: int = 10",
        "iterations: int = 5",
        _CRF,
        "potentials of the published evaluation",
    ),
    Mutant(
        "crf-energies",
        "raynef/segment/crf.py",
        "energies = -np.asarray(",
        "energies = np.asarray(",
        _CRF,
        "energies are negative log probabilities",
    ),
    Mutant(
        "crf-weights-exchanged",
        "raynef/segment/crf.py",
        "compat=own.gaussian_weight",
        "compat=own.bilateral_weight",
        _CRF,
        "each kernel has its own strength",
    ),
    Mutant(
        "probabilities-temperature",
        "raynef/segment/probabilities.py",
        "logits = logits.float() / temperature",
        "logits = logits.float()",
        _TOP,
        "the CRF's unary is the softmax at the test temperature",
    ),
    Mutant(
        "probabilities-of-the-top",
        "raynef/segment/probabilities.py",
        "norm[band] = upsampled.logsumexp(dim=-1)",
        "norm[band] = upsampled.amax(dim=-1)",
        _TOP,
        "the softmax is over all K clusters",
    ),
    Mutant(
        "foreground-side",
        "raynef/segment/boxes.py",
        "mask = vector > 0",
        "mask = vector < 0",
        _BOXES,
        "the positive side is the smaller one, the foreground",
    ),
    Mutant(
        "component-diagonals",
        "raynef/segment/boxes.py",
        "structure=np.ones((3, 3))",
        "structure=None",
        _BOXES,
        "parts that touch at a corner are one",
    ),
    Mutant(
        "box-half-open",
        "raynef/segment/boxes.py",
        "float(columns[-1] + 1)",
        "float(columns[-1])",
        _BOXES,
        "boxes are half-open",
    ),
    Mutant(
        "lost-seed",
        "raynef/segment/lost.py",
        "degrees = (similar >= 0).sum(axis=1)",
        "degrees = (similar < 0).sum(axis=1)",
        _BOXES,
        "LOST's seed has the fewest positive correlations",
    ),
)
