"""``raynef spectral compare``: neural eigenfunctions beside exact eigenvectors of their graph."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from raynef.assign.cuts import normalized_cut
from raynef.assign.kmeans import find_centroids, nearest_centroids
from raynef.core.errors import UserError
from raynef.core.kernel import Kernel
from raynef.eigen.agreement import Agreement, agreement
from raynef.eigen.psi import Psi
from raynef.features.extract import extract_features
from raynef.graph.kernel import build_kernel
from raynef.images.geometry import center_crop, resize, short_side_size
from raynef.io.files import write_json
from raynef.io.storage import absolute
from raynef.jobs.report import spread
from raynef.models.segmenter import Segmenter
from raynef.stores.run import RunFolder
from raynef.work.sources import image_files
from raynef.work.units import readable

_PREFIXES = (5, 10, 20, 50)
_STARTS, _ITERATIONS = 5, 50


def compare_spectra(
    run: str | Path, source: str, *, num_images: int = 16, out: str | Path | None = None
) -> dict[str, Any]:
    """How well a run's ψ solves the problem that it was trained for, on the graph of some images.

    The graph is that of Eq. 4 over the patches of all images together, with the run's own
    settings; ψ's functions are its probabilities at test. Both are compared by the space that they
    span: principal angles, Ritz values against eigenvalues, and the normalized cut of the clusters
    that follow.

    Args:
        run: folder of a finished run.
        source: an image or a folder of images.
        num_images: at most so many, spread over the folder; the graph is held in one process.
        out: JSON file for the result; none is written if not given.

    Returns:
        ``trace_share``: sum of the Ritz values over that of the eigenvalues (1 is exact);
        ``angles``: principal angles in degrees; ``captured``: mean share of the first 5, 10, …
        eigenvectors within ψ's space; ``cut``: of ψ's clusters, of spectral clustering and of
        K-means on the features.

    Raises:
        UserError: no such run, a run without ψ, or not one readable image.
    """
    started = time.monotonic()
    recipe = RunFolder(Path(run)).recipe()
    segmenter = Segmenter.load(run)
    if not isinstance(segmenter.head, Psi):
        raise UserError(
            f"{run} has no eigenfunctions: a linear head makes its clusters. "
            "The preset paper trains them: --recipe folder paper"
        )
    images, skipped = _read(source, num_images, recipe.data.short_side, recipe.data.crop)
    taps, thumbnails = _features(segmenter, images)
    features = taps[:, -1].flatten(0, 1)
    kernel = build_kernel(
        features.double(),
        thumbnails.double(),
        num_neighbors=recipe.graph.num_neighbors,
        pixel_neighbors=recipe.graph.pixel_neighbors,
        alpha=recipe.graph.alpha,
    )
    with torch.inference_mode():
        logits = torch.cat([segmenter.head(part[None]) for part in taps]).flatten(0, 1)
    functions = torch.softmax(logits.double() / recipe.eigen.tau_end, dim=-1)
    num_clusters = functions.shape[1]
    if len(functions) < 3 * num_clusters + 60:
        raise UserError(
            f"{len(images)} images have {len(functions)} patches, too few for the spectrum of "
            f"{num_clusters} eigenfunctions; give more images"
        )
    found = agreement(kernel.matmul, functions)
    result = {
        "run": str(Path(run).absolute()),
        "num_images": len(images),
        "num_patches": len(functions),
        "num_eigenfunctions": num_clusters,
        **_in_numbers(found),
        "cut": _cuts(kernel, found, functions, features, num_clusters),
        "skipped": skipped,
        "seconds": round(time.monotonic() - started, 2),
    }
    if out is not None:
        write_json(Path(out), result)
    return result


def _read(
    source: str, num_images: int, short_side: int, crop: int
) -> tuple[list[np.ndarray], dict[str, str]]:
    """Central crops, uint8 [crop, crop, 3]; what cannot be read or is too small, with reasons."""
    images: list[np.ndarray] = []
    skipped: dict[str, str] = {}
    for _, file, image in readable(spread(image_files(absolute(source)), num_images), skipped):
        small = center_crop(resize(image, short_side_size(image.shape, short_side)), crop)
        if small.shape[:2] == (crop, crop):
            images.append(small)
        else:
            skipped[file.name] = f"smaller than {crop}x{crop} pixels"
    if not images:
        raise UserError(f"not one image of {source} can be used: {skipped}")
    return images, skipped


@torch.inference_mode()
def _features(segmenter: Segmenter, images: list[np.ndarray]) -> tuple[Tensor, Tensor]:
    """Taps [B, T, h·w, D] and thumbnails [B, h, w, 3] of images of one size."""
    inputs = [segmenter.padded(image[None]) for image in images]
    backbone, precision = segmenter.backbone, segmenter.precision
    parts = [extract_features(backbone, pixels, precision=precision) for pixels in inputs]
    return torch.cat([p.taps for p in parts]).float(), torch.cat([p.thumbnails for p in parts])


def _in_numbers(found: Agreement) -> dict[str, Any]:
    exact, ritz, share = found.exact, found.ritz, found.rayleigh
    angles, rank = torch.rad2deg(torch.arccos(found.cosines)), len(exact)
    prefixes = [m for m in _PREFIXES if m < rank] + [rank]
    return {
        "rank": rank,
        "trace_share": float(ritz.sum() / exact.sum()),
        "eigenvalues": _floats(first=exact[0], last=exact[-1]),
        "ritz_values": _floats(first=ritz[0], last=ritz[-1]),
        "rayleigh": _floats(mean=share.mean(), least=share.min(), most=share.max()),
        "angles": _floats(least=angles.min(), median=angles.median(), most=angles.max()),
        "captured": {str(m): float(found.captured[:m].mean()) for m in prefixes},
    }


def _floats(**values: Tensor) -> dict[str, float]:
    return {name: float(value) for name, value in values.items()}


def _cuts(
    kernel: Kernel, found: Agreement, functions: Tensor, features: Tensor, num_clusters: int
) -> dict[str, Any]:
    """Normalized cuts on κ of ψ's clusters, of spectral clustering and of K-means on features."""
    vectors = torch.nn.functional.normalize(found.eigenvectors, dim=1)  # Ng, Jordan and Weiss
    clusterings = {
        "neural": functions.argmax(dim=1),
        "spectral": _kmeans(vectors, num_clusters),
        "kmeans": _kmeans(features, num_clusters),
    }
    cuts = {
        name: normalized_cut(kernel.matmul, clusters, num_clusters=num_clusters)
        for name, clusters in clusterings.items()
    }
    return {name: {"cut": value, "clusters": used} for name, (value, used) in cuts.items()}


def _kmeans(rows: Tensor, num_clusters: int) -> Tensor:
    points = rows.float().numpy()
    centroids = find_centroids(
        points,
        num_clusters,
        iterations=_ITERATIONS,
        seed=0,
        starts=_STARTS,
    )
    return torch.from_numpy(nearest_centroids(points, centroids))
