"""Faults of raynef/jobs/spectral: Deep Spectral Methods from eigenpairs to tables."""

from tests.mutants.mutant import Mutant

_FOLDER = "raynef/jobs/spectral"
_TESTS = "tests/unit/jobs/spectral"
_OBJECTS = (f"{_TESTS}/test_objects.py",)
_SEMANTIC = (f"{_TESTS}/test_semantic.py",)
_BOXES = (
    f"{_TESTS}/test_spectral.py::test_boxes_without_truth",
    f"{_TESTS}/test_spectral.py::test_corloc",
)
_CROPS = (f"{_TESTS}/test_spectral.py::test_crops_are_whole_patches",)

MUTANTS = (
    Mutant(
        "object-not-refined",
        "raynef/segment/refine.py",
        "return dense_crf(image, np.log(certain), POTENTIALS).argmax(axis=0).astype(bool)",
        "return mask",
        _OBJECTS,
        "object masks follow the image's edges (Table 3)",
    ),
    Mutant(
        "object-certain",
        "raynef/segment/refine.py",
        "_CERTAINTY = 0.99",
        "_CERTAINTY = 1 - 1e-5",
        _OBJECTS,
        "at a greater certainty than the published one the CRF moves no pixel",
    ),
    Mutant(
        "object-potentials",
        "raynef/segment/refine.py",
        "np.log(certain), POTENTIALS)",
        "np.log(certain))",
        _OBJECTS,
        "the CRF of objects has the published library's potentials",
    ),
    Mutant(
        "object-ignored-pixels",
        "raynef/assign/overlap.py",
        "known, right = truth != IGNORE,",
        "known, right = truth >= 0,",
        _OBJECTS,
        "ignored pixels are in no score",
    ),
    Mutant(
        "object-foreground",
        "raynef/assign/overlap.py",
        "union = ((mask & known) | wanted).sum()",
        "union = wanted.sum()",
        _OBJECTS,
        "IoU of the foreground",
    ),
    Mutant(
        "fiedler-is-constant",
        "raynef/segment/boxes.py",
        "return foreground(vectors[..., 1])",
        "return foreground(vectors[..., 0])",
        _BOXES,
        "the first eigenvector is constant; the second tells object from background",
    ),
    Mutant(
        "box-of-all-parts",
        f"{_FOLDER}/localize.py",
        "largest_component(fiedler_foreground(pairs.vectors))",
        "fiedler_foreground(pairs.vectors)",
        _BOXES,
        "the box is around the largest part (Table 1)",
    ),
    Mutant(
        "background-is-cluster-1",
        f"{_FOLDER}/semantic.py",
        "labels[segments.background] = 0",
        "labels[segments.background] = 1",
        _SEMANTIC,
        "the background has a label of its own",
    ),
    Mutant(
        "background-clustered",
        f"{_FOLDER}/segments.py",
        "np.arange(len(segments.features)) != segments.background",
        "np.arange(len(segments.features)) >= 0",
        _SEMANTIC,
        "background segments are not clustered",
    ),
    Mutant(
        "semantic-raw-features",
        f"{_FOLDER}/segments.py",
        "return unit_length(self.features)",
        "return self.features",
        _SEMANTIC,
        "features of segments are clustered at unit length, as published",
    ),
    Mutant(
        "semantic-matched-by-count",
        f"{_FOLDER}/labels.py",
        '"hungarian", criterion=criterion)',
        '"hungarian")',
        _SEMANTIC,
        "Hungarian matching maximizes IoU, as published",
    ),
    Mutant(
        "semantic-criterion",
        "raynef/config/spectral.py",
        'hungarian: Literal["iou", "count"] = "iou"',
        'hungarian: Literal["iou", "count"] = "count"',
        _SEMANTIC,
        "Hungarian matching maximizes IoU, as published",
    ),
    Mutant(
        "cluster-patch-not-sampled",
        f"{_FOLDER}/points.py",
        "share=min(1.0, max_points / max(1, total))",
        "share=1.0",
        _SEMANTIC,
        "cluster-patch clusters a uniform sample of all patches (Table 4)",
    ),
    Mutant(
        "cluster-patch-one-draw",
        f"{_FOLDER}/points.py",
        'generator("points", seed, index)',
        'generator("points", seed)',
        _SEMANTIC,
        "each image has draws of its own",
    ),
    Mutant(
        "cluster-seg-one-mean",
        f"{_FOLDER}/segments.py",
        "values[segments == s].mean(axis=0)",
        "values.mean(axis=(0, 1))",
        _SEMANTIC,
        "each segment of cluster-seg has its own mean (Table 4)",
    ),
    Mutant(
        "crop-not-whole",
        f"{_FOLDER}/segments.py",
        "np.ceil(x1 * across)",
        "np.floor(x1 * across)",
        _CROPS,
        "a crop holds all of its segment",
    ),
    Mutant(
        "selftrain-rate-constant",
        f"{_FOLDER}/selftrain_loop.py",
        "rate = settings.lr * (1 - step / settings.steps)",
        "rate = settings.lr",
        (f"{_TESTS}/test_selftrain.py::test_the_rate_falls_linearly_to_0",),
        "self-training's rate falls linearly",
    ),
    Mutant(
        "selftrain-label-elsewhere",
        f"{_FOLDER}/selftrain_loop.py",
        "columns = ((np.arange(left, left + side) + 0.5)",
        "columns = ((np.arange(side) + 0.5)",
        (f"{_TESTS}/test_selftrain.py::test_a_label_lies_over_its_crop",),
        "the network learns each crop's own pseudo-label",
    ),
    Mutant(
        "selftrain-label-not-flipped",
        f"{_FOLDER}/selftrain_loop.py",
        "image, label = image[:, ::-1], label[:, ::-1]",
        "image = image[:, ::-1]",
        (f"{_TESTS}/test_selftrain.py::test_a_label_lies_over_its_crop",),
        "the network learns each crop's own pseudo-label",
    ),
)
