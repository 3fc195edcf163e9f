"""Colors are many, far apart, and the same wherever they are asked for."""

import numpy as np
import pytest

from raynef.report.palette import IGNORED, boundaries, colorize, oklab, overlay, palette

# (colors, smallest Oklab distance of any two). 0.02 is just noticeable; fewer are far clearer.
SEPARATION = [(2, 0.25), (8, 0.18), (27, 0.09), (64, 0.065), (256, 0.035), (1024, 0.018)]


@pytest.mark.parametrize(("num_colors", "smallest"), SEPARATION)
def test_any_two_colors_are_apart(num_colors: int, smallest: float) -> None:
    lab = oklab(palette(num_colors))
    distance = np.linalg.norm(lab[:, None] - lab[None], axis=-1)
    assert distance[~np.eye(num_colors, dtype=bool)].min() > smallest


def test_the_largest_palette() -> None:
    colors = palette(4096)
    assert colors.dtype == np.uint8
    assert colors.shape == (4096, 3)
    assert len(np.unique(colors, axis=0)) == 4096
    lab = oklab(colors)
    assert np.linalg.norm(np.diff(lab, axis=0), axis=1).min() > 0.15  # neighbors in index
    assert 0.4 < lab[:, 0].min() < lab[:, 0].max() < 0.9  # neither near black nor near white


def test_a_color_does_not_depend_on_how_many_there_are() -> None:
    np.testing.assert_array_equal(palette(300)[:21], palette(21))
    palette(21)[:] = 0  # a caller's change reaches nobody else
    assert palette(21).any()


@pytest.mark.parametrize("num_colors", [1, 4097])
def test_palette_refuses(num_colors: int) -> None:
    with pytest.raises(ValueError, match=f"2 to 4096, got {num_colors}"):
        palette(num_colors)


def test_colorize() -> None:
    colors = palette(300)
    labels = np.array([[0, 1, -1], [255, 2, 1]], dtype=np.int64)
    painted = colorize(labels, colors, ignore=255)
    assert tuple(painted[1, 0]) == tuple(painted[0, 2]) == IGNORED
    np.testing.assert_array_equal(painted[1, 1], colors[2])
    # Without ``ignore`` 255 is a cluster like any other.
    np.testing.assert_array_equal(colorize(labels, colors)[1, 0], colors[255])
    with pytest.raises(ValueError, match=r"below the number of colors \(2\), got 255"):
        colorize(labels, palette(2))


def test_colorize_takes_label_bytes() -> None:
    labels = np.array([[0, 255]], dtype=np.uint8)
    assert tuple(colorize(labels, palette(2), ignore=255)[0, 1]) == IGNORED


def test_overlay_draws_thin_boundaries_and_leaves_its_input() -> None:
    image = np.full((6, 8, 3), 90, dtype=np.uint8)
    labels = np.zeros((6, 8), dtype=np.int64)
    labels[:, 4:] = 1
    colors = palette(2)
    mixed = overlay(image, labels, colors)
    assert mixed.dtype == np.uint8
    assert (image == 90).all()
    np.testing.assert_array_equal(np.flatnonzero(boundaries(labels)[0]), [3])
    assert (mixed[:, 3] > 200).all()
    expected = (0.45 * 90 + 0.55 * colors[1].astype(float)).round()
    np.testing.assert_allclose(mixed[0, 6], expected, atol=1)
    np.testing.assert_array_equal(overlay(image, labels, colors, alpha=0.0)[:, 0], image[:, 0])
    with pytest.raises(ValueError, match="image must be"):
        overlay(image[:5], labels, colors)
