"""Every odd file that a tree of images may hold: shown as a viewer would, or refused by reason."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile
from PIL.GifImagePlugin import GifImageFile

from raynef.core.errors import BadImageError, UserError
from raynef.core.notes import noting
from raynef.images.decode import SCALED, decode_image, read_image, read_label
from tests.known import a

PIXELS = np.random.default_rng(0).integers(0, 256, (13, 17, 3), dtype=np.uint8)


def encode(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def smooth(height: int = 48, width: int = 64) -> Image.Image:
    """What JPEG keeps to within a few levels."""
    down, across = np.mgrid[0:height, 0:width]
    planes = [down * 4, across * 3, 200 - down - across]
    return Image.fromarray(np.stack(planes, axis=-1).clip(0, 255).astype(np.uint8))


def png(width: int, height: int, rows: bytes, *, bits: int = 8, color: int = 0) -> bytes:
    """A PNG by hand, whatever its header says."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    header = struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


JPEG = encode(smooth(), "JPEG")
PNG = encode(smooth(16, 20), "PNG")


@pytest.mark.parametrize(
    ("encoded", "reason"),
    [
        (b"", "empty file"),
        (b"not an image at all", "not an image"),
        (b"<html><body>404</body></html>", "not an image"),
        (JPEG[: len(JPEG) // 2], "damaged .*[Tt]runcated"),
        (JPEG[:-40], "damaged .*truncated"),
        (PNG[: len(PNG) // 2], "damaged .*[Tt]runcated"),
        (JPEG[:30], "not an image|damaged"),
        (PNG[:20], "not an image|damaged"),
        (png(0, 4, b"\0" * 4), "not an image"),
        (png(4, 0, b""), "not an image"),
        (png(50_000, 50_000, b""), "too large"),  # twice Pillow's limit: an error
        (png(12_000, 12_000, b""), "too large"),  # between once and twice: a warning
    ],
)
def test_refused_with_a_reason(encoded, reason, tmp_path):
    with pytest.raises(BadImageError, match=reason):
        decode_image(encoded)
    path = tmp_path / "x.jpg"
    path.write_bytes(encoded)
    with pytest.raises(BadImageError, match=reason) as caught:
        read_image(path)
    assert str(path) not in str(caught.value)


def test_a_bomb_is_refused_before_it_is_decoded(monkeypatch):
    def load(self):
        raise AssertionError("decoded")

    bomb = png(12_000, 12_000, bytes(1501 * 12_000), bits=1)  # 18 MB of zeros in 18 kB
    assert len(bomb) < 100_000
    monkeypatch.setattr(ImageFile.ImageFile, "load", load)
    with pytest.raises(BadImageError, match="decoded"):  # the patch is where decoding passes
        decode_image(PNG)
    with pytest.raises(BadImageError, match="too large"):
        decode_image(bomb)


@pytest.mark.parametrize("name", ["x.jpg", "no-such-folder/x.jpg"])
def test_a_missing_file(name, tmp_path):
    with pytest.raises(BadImageError, match="No such file"):
        read_image(tmp_path / name)


def test_a_folder_named_like_an_image(tmp_path):
    (tmp_path / "x.jpg").mkdir()
    with pytest.raises(BadImageError, match="directory"):
        read_image(tmp_path / "x.jpg")


GRAY = PIXELS[:, :, 0]
DEEP = np.linspace(0, 65535, GRAY.size).reshape(GRAY.shape).astype(np.uint16)
UNIT = np.linspace(0, 1, GRAY.size, dtype=np.float32).reshape(GRAY.shape)


def stretched(values: np.ndarray) -> np.ndarray:
    values = values.astype(np.float64)
    return (values - values.min()) / (values.max() - values.min()) * 255


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        (GRAY, "PNG", GRAY),
        (GRAY > 127, "PNG", np.where(GRAY > 127, 255, 0)),
        (DEEP, "PNG", DEEP / 257),
        (DEEP, "TIFF", DEEP / 257),
        (GRAY.astype(np.uint16), "PNG", GRAY),  # 8-bit values in a 16-bit file
        (DEEP.astype(np.int32), "TIFF", DEEP / 257),
        (GRAY.astype(np.int32), "TIFF", GRAY),
        (DEEP.astype(np.int32) * 1000, "TIFF", stretched(DEEP)),
        (DEEP.astype(np.int32) - 30_000, "TIFF", stretched(DEEP)),
        (UNIT, "TIFF", UNIT * 255),  # up to 1.0, a whole number
        (UNIT * 37.5 - 3, "TIFF", UNIT * 255),
        (np.full_like(UNIT, 0.5), "TIFF", np.zeros_like(UNIT)),
        (np.where(UNIT > 0.9, np.nan, UNIT).astype(np.float32), "TIFF", None),
        (np.where(UNIT > 0.9, np.inf, UNIT).astype(np.float32), "TIFF", None),
    ],
)
def test_gray_of_any_depth(values, kind, expected):
    decoded = decode_image(encode(Image.fromarray(values), kind))
    assert decoded.dtype == np.uint8
    assert decoded.shape == (*values.shape, 3)
    assert (decoded == decoded[:, :, :1]).all()
    if expected is None:  # finite values keep their order, the others are dark
        assert decoded[UNIT > 0.9].max() == 0
        assert decoded[UNIT <= 0.9].max() == 255
    else:
        np.testing.assert_allclose(decoded[:, :, 0].astype(float), expected, atol=0.5 + 1e-3)


def in_range(most: int) -> np.ndarray:
    """Gray values up to one that is there."""
    return np.linspace(0, most, GRAY.size).round().reshape(GRAY.shape).astype(np.uint16)


@pytest.mark.parametrize(
    ("most", "white"),
    [
        (255, 255),
        (256, 1023),
        (1023, 1023),
        (1024, 4095),
        (4095, 4095),
        (16383, 16383),
        (16384, 65535),  # dim, but of 16 bits: as dim as it is
        (65535, 65535),
    ],
)
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bit_files_are_scaled_by_the_bits_that_they_use(most, white, kind):
    deep = in_range(most)
    encoded = encode(Image.fromarray(deep), kind)
    with Image.open(io.BytesIO(encoded)) as image:
        assert image.mode == "I;16"
    with noting() as notes:
        decoded = decode_image(encoded)
    np.testing.assert_allclose(decoded[:, :, 0], deep / white * 255, atol=0.5 + 1e-9)
    assert notes == ({SCALED} if 255 < white < 65535 else set())


def png_of_16_bits(pixels: np.ndarray) -> bytes:
    """RGB, uint16 [H, W, 3], which Pillow does not write."""
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    return png(pixels.shape[1], pixels.shape[0], rows, bits=16, color=2)


def test_sixteen_bit_colors():
    decoded = decode_image(png_of_16_bits(PIXELS.astype(np.uint16) * 257))
    np.testing.assert_array_equal(decoded, PIXELS)
    low = PIXELS.astype(np.uint16) * 257 + np.uint16(1)  # the low bytes do not count, as in Pillow
    low[PIXELS == 255] = 65535
    np.testing.assert_array_equal(decode_image(png_of_16_bits(low)), PIXELS)


@pytest.mark.parametrize("bits", [8, 10, 12, 14])
def test_colors_of_fewer_bits_in_sixteen(bits):
    white = (1 << bits) - 1
    deep = (PIXELS / 255 * white).round().astype(np.uint16)
    assert deep.max() == white
    with noting() as notes:
        decoded = decode_image(png_of_16_bits(deep))
    np.testing.assert_array_equal(decoded, PIXELS)
    assert notes == ({SCALED} if bits > 8 else set())


def test_notes_are_gathered_by_the_block_around_and_no_other():
    dark = encode(Image.fromarray(in_range(1023)), "PNG")
    decode_image(dark)  # no one listens
    with noting() as outer:
        with noting() as inner:
            decode_image(dark)
            decode_image(dark)
        assert inner == {SCALED}
        assert outer == set()


def on_white(rgba: np.ndarray) -> np.ndarray:
    alpha = rgba[:, :, 3:] / 255
    return rgba[:, :, :3] * alpha + 255 * (1 - alpha)


def with_alpha(mode: str) -> Image.Image:
    alpha = np.linspace(0, 255, GRAY.size).reshape(GRAY.shape).astype(np.uint8)
    image = Image.fromarray(PIXELS if mode == "RGBA" else GRAY)
    image.putalpha(Image.fromarray(alpha))
    assert image.mode == mode
    return image


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_transparency_is_laid_on_white(mode, kind):
    image = with_alpha(mode)
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    expected = on_white(np.asarray(image.convert("RGBA")).astype(float))
    np.testing.assert_allclose(decode_image(encode(image, kind, **options)), expected, atol=1)


def test_palette():
    image = Image.fromarray(PIXELS).quantize(16)
    expected = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(decode_image(encode(image, "PNG")), expected)


def palette_image() -> Image.Image:
    image = Image.fromarray((np.arange(12, dtype=np.uint8) % 3).reshape(3, 4), mode="P")
    image.putpalette([10, 20, 30, 200, 0, 0, 0, 200, 0])
    return image


@pytest.mark.parametrize(
    ("kind", "transparency", "first"),
    [
        ("PNG", None, (10, 20, 30)),
        ("PNG", 0, (255, 255, 255)),
        ("GIF", 0, (255, 255, 255)),
        ("PNG", bytes([51, 255, 255]), (206, 208, 210)),  # a fifth of the color over white
    ],
)
def test_palette_with_transparency(kind, transparency, first):
    options = {} if transparency is None else {"transparency": transparency}
    decoded = decode_image(encode(palette_image(), kind, **options))
    assert tuple(decoded[0, 0]) == first
    assert tuple(decoded[0, 1]) == (200, 0, 0)
    assert tuple(decoded[0, 2]) == (0, 200, 0)


@pytest.mark.parametrize("gray", [True, False])
def test_a_transparent_color(gray):
    image = Image.new("L" if gray else "RGB", (2, 1), 0 if gray else (9, 9, 9))
    image.putpixel((1, 0), 7 if gray else (7, 8, 9))
    encoded = encode(image, "PNG", transparency=0 if gray else (9, 9, 9))
    expected = [[[255, 255, 255], [7, 7, 7] if gray else [7, 8, 9]]]
    np.testing.assert_array_equal(decode_image(encoded), expected)


@pytest.mark.parametrize("mode", ["CMYK", "RGB", "L"])
def test_jpeg_modes(mode):
    image = smooth().convert(mode)
    decoded = decode_image(encode(image, "JPEG", quality=95))
    expected = np.asarray(image.convert("RGB")).astype(int)
    assert np.abs(decoded - expected).mean() < 3


TURNS = {  # what was stored -> what is seen
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a, 1),
    0: lambda a: a,  # not an orientation
    9: lambda a: a,
}


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG"])
def test_exif_orientation(orientation, kind):
    exif = Image.Exif()
    exif[0x0112] = orientation
    encoded = encode(smooth(), kind, exif=exif)
    stored = np.asarray(Image.open(io.BytesIO(encoded)).convert("RGB"))
    if kind == "TIFF" and orientation in range(2, 9):  # Pillow turns TIFFs itself
        stored = np.asarray(smooth())
    np.testing.assert_array_equal(decode_image(encoded), TURNS[orientation](stored))


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize(
    "exif",
    [b"Exif\0\0garbagegarbage", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\x01\x12\0\x03", b"Exif\0\0"],
)
def test_malformed_exif_is_ignored(kind, exif):
    plain = decode_image(encode(smooth(), kind))
    np.testing.assert_array_equal(decode_image(encode(smooth(), kind, exif=exif)), plain)


def test_a_turn_beside_a_malformed_tag():
    """Orientation 6, and a tag whose value cannot be written again."""
    entries = struct.pack(">HHIHH", 0x0112, 3, 1, 6, 0)
    entries += struct.pack(">HHII", 0x0132, 7, 900, 60_000)  # bytes beyond the block's end
    block = b"MM\0*\0\0\0\x08" + struct.pack(">H", 2) + entries + b"\0\0\0\0"
    encoded = encode(smooth(), "PNG", exif=b"Exif\0\0" + block)
    np.testing.assert_array_equal(decode_image(encoded), np.rot90(np.asarray(smooth()), -1))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM"])
def test_one_pixel(kind):
    decoded = decode_image(encode(Image.new("RGB", (1, 1), (255, 255, 255)), kind))
    np.testing.assert_array_equal(decoded, np.full((1, 1, 3), 255, np.uint8))


def test_an_animation_gives_its_first_frame():
    frames = [Image.new("RGB", (4, 3), color) for color in ("red", "blue", "lime")]
    encoded = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert a(GifImageFile, Image.open(io.BytesIO(encoded))).n_frames == 3
    np.testing.assert_array_equal(decode_image(encoded), np.asarray(frames[0]))


def test_the_suffix_does_not_decide(tmp_path):
    (tmp_path / "x.jpg").write_bytes(PNG)
    np.testing.assert_array_equal(read_image(str(tmp_path / "x.jpg")), np.asarray(smooth(16, 20)))


@settings(max_examples=150)
@given(
    encoded=st.sampled_from([JPEG, PNG]),
    changes=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=12),
    cut=st.one_of(st.none(), st.integers(0, 10_000)),
)
def test_mutated_bytes_decode_or_are_refused(encoded, changes, cut):
    mutated = bytearray(encoded)
    for at, value in changes:
        mutated[at % len(mutated)] = value
    if cut is not None:
        del mutated[cut % len(mutated) :]
    try:
        decoded = decode_image(bytes(mutated))
    except BadImageError:
        return
    assert decoded.dtype == np.uint8
    assert decoded.ndim == 3
    assert decoded.shape[2] == 3
    assert decoded.size > 0


# ---------------------------------------------------------------------------------------- labels


CLASSES = np.array([[0, 1, 255], [7, 2, 3]], dtype=np.uint8)


@pytest.mark.parametrize(
    "image",
    [
        Image.fromarray(CLASSES),
        Image.fromarray(CLASSES.astype(np.uint16)),
        Image.fromarray(CLASSES.astype(np.int32)),
        Image.fromarray(CLASSES, mode="P"),
    ],
    ids=lambda image: image.mode,
)
def test_labels_are_class_indices(image, tmp_path):
    if image.mode == "P":
        image.putpalette(np.random.default_rng(1).integers(0, 256, 768).tolist())
    suffix = ".tif" if image.mode == "I" else ".png"
    image.save(tmp_path / f"label{suffix}")
    label = read_label(tmp_path / f"label{suffix}")
    assert label.dtype == np.int32
    np.testing.assert_array_equal(label, CLASSES)


def test_labels_beyond_8_bits(tmp_path):
    Image.fromarray(np.array([[300, 65535]], dtype=np.uint16)).save(tmp_path / "label.png")
    np.testing.assert_array_equal(read_label(tmp_path / "label.png"), [[300, 65535]])


def test_one_bit_labels(tmp_path):
    Image.fromarray(np.array([[True, False]])).save(tmp_path / "label.png")
    np.testing.assert_array_equal(read_label(tmp_path / "label.png"), [[1, 0]])


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_labels_with_colors_are_refused(mode, tmp_path):
    path = tmp_path / "label.png"
    Image.new(mode, (3, 2)).save(path)
    with pytest.raises(UserError, match=f"label.png must hold one class index .* mode {mode}"):
        read_label(path)


@pytest.mark.parametrize(
    ("content", "message"), [(None, "is missing"), (b"", "cannot be read"), (PNG[:60], "cannot be")]
)
def test_unreadable_labels_are_named(content, message, tmp_path):
    path: Path = tmp_path / "label.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=rf"label .*label\.png {message}"):
        read_label(path)
