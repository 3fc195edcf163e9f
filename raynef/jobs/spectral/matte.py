"""``raynef spectral matte``: soft layers of one photograph at full resolution."""

import math
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from raynef.config.recipe import Recipe, check
from raynef.core.errors import BadImageError, UserError
from raynef.eigen.spectrum import Eigenpairs, smallest_eigenpairs
from raynef.features.blocks import load_block_features
from raynef.graph.sampled import sampled_affinity
from raynef.images.decode import read_image
from raynef.images.fitted import fit, to_whole_image
from raynef.io.holds import holds
from raynef.io.storage import absolute, name_of
from raynef.jobs.spectral.features import normalized
from raynef.jobs.spectral.walk import publish
from raynef.report.spectral_page import Picture, SpectralRow, painted_vector
from raynef.segment.matte import rgba_layer, soft_layers
from raynef.stores.label_files import write_png


@holds(made=("out",))
def matte(
    image: str | Path,
    recipe: Recipe,
    out: str | Path,
    *,
    num_layers: int = 5,
    max_side: int = 640,
    seed: int = 0,
) -> dict[str, Any]:
    """Soft layers of a photograph that sum to one at each pixel (arXiv:2205.07839, Sec. 4.4).

    One process does it all. Writes OUT/layer-0.png, … (RGBA, at the photograph's own size, the
    largest layer first), OUT/matte.json and OUT/matte.html.

    Args:
        image: a path or an address.
        recipe: its backbone and ``spectral`` sections count, but for ``resolution``: every pixel
            is a node.
        out: folder for the layers.
        num_layers: of them.
        max_side: longest side at which they are made; a larger photograph is resized, and its
            layers are enlarged. Memory and time grow with the square of the number of pixels.
        seed: of the entries that are drawn, and of K-means.

    Raises:
        UserError: an image that cannot be read, or impossible numbers.
    """
    started = time.monotonic()
    check(recipe)
    if num_layers < 2:
        raise UserError(f"parameter num_layers must be >= 2, got {num_layers}")
    out, spectral = Path(out).absolute(), recipe.spectral
    if math.isinf(spectral.color_weight):
        raise UserError("spectral.color_weight must be finite for a matte")
    try:
        photograph = read_image(absolute(image))  # before weights are fetched
        backbone = load_block_features(recipe.backbone, spectral)
        if max_side < backbone.stride:
            raise UserError(f"parameter max_side must be >= {backbone.stride}, got {max_side}")
        pixels, frame = fit(photograph, stride=backbone.stride, max_side=max_side)
    except BadImageError as error:
        raise UserError(f"{image}: {error}") from error
    features = backbone(normalized(backbone, pixels[None]))[0]
    affinity = sampled_affinity(
        features,
        pixels / 255.0,
        color_weight=spectral.color_weight,
        neighbors=spectral.color_neighbors,
        space=spectral.color_space,
        seed=seed,
        workers=os.cpu_count() or 1,
    )
    pairs = smallest_eigenpairs(affinity, spectral.num_eigenvectors + 1, seed=seed)
    layers = soft_layers(pairs.vectors[0], num_layers=num_layers, seed=seed)
    grid = pixels.shape[:2]
    alphas = [to_whole_image(layer.reshape(grid), frame) for layer in layers.cpu().numpy()]
    files = [f"layer-{number}.png" for number in range(len(alphas))]
    for file, alpha in zip(files, alphas, strict=True):
        write_png(out / file, rgba_layer(photograph, alpha))
    result = {
        "layers": [str(out / file) for file in files],
        "shares": [float(alpha.mean()) for alpha in alphas],
        "num_pixels": grid[0] * grid[1],
        "num_entries": int(affinity.sparse.values().numel()),
        "residual": float(pairs.residuals.max()),
        "seconds": round(time.monotonic() - started, 2),
    }
    return publish(
        out,
        "matte",
        result,
        title=name_of(absolute(image)),
        about="Each layer on gray: where it is opaque, the photograph shows. The layers of a pixel "
        "sum to one.",
        summary={"layers": len(alphas)},
        rows=_rows(name_of(absolute(image)), photograph, pairs, grid, alphas),
    )


def _rows(
    name: str,
    photograph: np.ndarray,
    pairs: Eigenpairs,
    grid: tuple[int, int],
    alphas: list[np.ndarray],
) -> list[SpectralRow]:
    vectors = pairs.vectors[0].to(torch.float32).cpu().numpy()
    shown = []
    for k in range(1, min(6, vectors.shape[1])):
        painted = painted_vector(vectors[:, k].reshape(grid), photograph.shape[:2])
        shown.append(Picture(f"y{k}", f"λ = {float(pairs.values[0, k]):.2g}", painted))
    layers = [Picture("image", "the photograph", photograph)]
    for k, alpha in enumerate(alphas):
        share = f"{100 * alpha.mean():.0f} % of the image"
        layers.append(Picture(f"layer {k}", share, _on_gray(photograph, alpha)))
    return [
        SpectralRow(name, "", tuple(layers)),
        SpectralRow(f"{name}: eigenvectors", "orange above 0, blue below", tuple(shown)),
    ]


def _on_gray(image: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    share = alpha[..., None]
    return (share * image + (1 - share) * 128).round().clip(0, 255).astype(np.uint8)
