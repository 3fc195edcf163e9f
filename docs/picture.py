"""The picture of the README: scenes of the demo, their clusters, the classes of these, the truth.

raynef demo --out DIR
python docs/picture.py DIR/demo DIR/sample docs/demo.png
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

import raynef
from raynef.images.decode import read_image, read_label
from raynef.report.palette import boundaries, colorize, overlay, palette

_GAP, _WHITE = 6, 255


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("run", type=Path, help="an evaluated run")
    parser.add_argument("sample", type=Path, help="images/, labels/, val.txt")
    parser.add_argument("out", type=Path)
    parser.add_argument("--scenes", type=int, nargs="+", default=[0, 4, 5], help="of val.txt")
    options = parser.parse_args()
    segmenter = raynef.Segmenter.load(options.run)
    names = (options.sample / "val.txt").read_text().split()
    rows = [row(segmenter, options.sample, names[scene]) for scene in options.scenes]
    between = np.full((_GAP, rows[0].shape[1], 3), _WHITE, dtype=np.uint8)
    stacked = [part for one in rows for part in (between, one)][1:]
    Image.fromarray(np.concatenate(stacked)).save(options.out, optimize=True)


def row(segmenter: raynef.Segmenter, sample: Path, name: str) -> np.ndarray:
    """One scene, uint8 [H, 4·W + gaps, 3]."""
    image = read_image(sample / "images" / f"{name}.jpg")
    truth = read_label(sample / "labels" / f"{name}.png")
    found = segmenter(image)
    if found.classes is None or found.class_names is None:
        raise SystemExit("the run is not evaluated: its clusters have no classes")
    colors = palette(segmenter.num_clusters)
    clusters = overlay(image, found.clusters, colors)
    clusters[boundaries(found.clusters)] = _WHITE
    of_classes = palette(len(found.class_names))
    tiles = [image, clusters, colorize(found.classes, of_classes)]
    tiles.append(colorize(truth, of_classes, ignore=255))
    gap = np.full((len(image), _GAP, 3), _WHITE, dtype=np.uint8)
    return np.concatenate([part for tile in tiles for part in (gap, tile)][1:], axis=1)


if __name__ == "__main__":
    main()
