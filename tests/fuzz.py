"""Image and label files as accidents and malice make them, each from its number and a seed.

    python tests/fuzz.py --count 1000 --seed 0

decodes them through the functions that commands use and prints what became of them. Tests use the
same generator. A case is a (kind, bytes) pair; ``case(seed, number)`` is the same on every machine
with the same Pillow.
"""

import argparse
import contextlib
import io
import os
import re
import struct
import sys
import tempfile
import time
import warnings
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

HUGE = (12_000, 40_000, 65_535)
_MODES = {
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    "JPEG": ("L", "RGB", "CMYK"),
    "BMP": ("1", "L", "P", "RGB"),
    "GIF": ("L", "P", "RGB"),
    "TIFF": ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F", "LAB", "YCbCr"),
    "WEBP": ("RGB", "RGBA"),
    "PPM": ("1", "L", "RGB", "I"),
}


@dataclass(frozen=True)
class Case:
    """One file: what was done to it, and its bytes."""

    kind: str
    encoded: bytes


def case(seed: int, number: int) -> Case:
    """The file of a number: half are mutated bytes, half are built by hand."""
    draws = np.random.default_rng([seed, number])
    if number % 2:
        name = list(CRAFTED)[(number // 2) % len(CRAFTED)]
        return Case(name, CRAFTED[name](draws))
    name = list(MUTATIONS)[(number // 2) % len(MUTATIONS)]
    return Case(name, MUTATIONS[name](valid(draws), draws))


def valid(draws: np.random.Generator) -> bytes:
    """A small sound file of a random format and mode."""
    kind = str(draws.choice(list(_MODES)))
    mode = str(draws.choice(_MODES[kind]))
    height, width = (int(side) for side in draws.integers(1, 40, 2))
    smooth = np.add.outer(np.arange(height) * 5, np.arange(width) * 3)
    pixels = (smooth[..., None] + draws.integers(0, 60, 3)).astype(np.uint8)
    if mode in ("I;16", "I", "F"):
        dtype = {"I;16": np.uint16, "I": np.int32, "F": np.float32}[mode]
        image = Image.fromarray((smooth * 97).astype(dtype))
    else:
        image = Image.fromarray(pixels)
        image = image.quantize(16) if mode == "P" else image.convert(mode)
    return encode(image, kind, draws)


def encode(image: Image.Image, kind: str, draws: np.random.Generator) -> bytes:
    options = {"TIFF": {"compression": str(draws.choice(["raw", "tiff_lzw", "tiff_deflate"]))}}
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            image.save(buffer, kind, **options.get(kind, {}))
        except (OSError, KeyError, ValueError):  # a mode that this compression does not take
            buffer = io.BytesIO()
            image.convert("RGB").save(buffer, kind)
    return buffer.getvalue()


# ------------------------------------------------------------------------------ mutated bytes


def _truncated(encoded: bytes, draws: np.random.Generator) -> bytes:
    return encoded[: int(draws.integers(0, len(encoded)))]


def _flipped(encoded: bytes, draws: np.random.Generator, *, most: int = 16) -> bytes:
    damaged = bytearray(encoded)
    for at in draws.integers(0, len(damaged), draws.integers(1, most)):
        damaged[at] ^= 1 << int(draws.integers(8))
    return bytes(damaged)


def _header(encoded: bytes, draws: np.random.Generator) -> bytes:
    damaged = bytearray(encoded)
    for at in draws.integers(0, min(64, len(damaged)), draws.integers(1, 8)):
        damaged[at] = int(draws.choice([0, 1, 0x7F, 0x80, 0xFF, int(draws.integers(256))]))
    return bytes(damaged)


def _spliced(encoded: bytes, draws: np.random.Generator) -> bytes:
    other = valid(draws)
    return encoded[: int(draws.integers(len(encoded)))] + other[int(draws.integers(len(other))) :]


def _repeated(encoded: bytes, draws: np.random.Generator) -> bytes:
    start, stop = sorted(int(at) for at in draws.integers(0, len(encoded), 2))
    return encoded[:stop] + encoded[start:stop] * int(draws.integers(1, 50)) + encoded[stop:]


def _dropped(encoded: bytes, draws: np.random.Generator) -> bytes:
    start, stop = sorted(int(at) for at in draws.integers(0, len(encoded), 2))
    return encoded[:start] + encoded[stop:]


def _extended(encoded: bytes, draws: np.random.Generator) -> bytes:
    return encoded + draws.bytes(int(draws.integers(1, 5000)))


def _noise(encoded: bytes, draws: np.random.Generator) -> bytes:
    return encoded[: int(draws.integers(0, 16))] + draws.bytes(int(draws.integers(0, 5000)))


MUTATIONS: dict[str, Callable[[bytes, np.random.Generator], bytes]] = {
    "truncated": _truncated,
    "flipped bits": _flipped,
    "changed header": _header,
    "two files spliced": _spliced,
    "a part repeated": _repeated,
    "a part dropped": _dropped,
    "bytes appended": _extended,
    "noise after a signature": _noise,
}


# ---------------------------------------------------------------------------- built by hand


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(
    width: int,
    height: int,
    rows: bytes = b"",
    *,
    bits: int = 8,
    color: int = 0,
    more: bytes = b"",
    interlaced: int = 0,
) -> bytes:
    """A PNG whose header says anything, with chunks ``more`` before its pixels."""
    header = struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, interlaced)
    pixels = chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + more + pixels + chunk(b"IEND", b"")


def tiff(tags: list[tuple[int, int, int, int]], *, following: int = 0, tail: bytes = b"") -> bytes:
    """A little-endian TIFF with one directory of (tag, type, count, value)."""
    entries = b"".join(struct.pack("<HHII", *tag) for tag in sorted(tags))
    directory = struct.pack("<H", len(tags)) + entries + struct.pack("<I", following)
    return b"II*\0" + struct.pack("<I", 8) + directory + tail


def _tiff_tags(width: int, height: int, **changed: int) -> list[tuple[int, int, int, int]]:
    values = {256: width, 257: height, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: height}
    values |= {279: width * height % 2**32} | {int(key[1:]): v for key, v in changed.items()}
    return [(tag, 4, 1, value % 2**32) for tag, value in values.items()]


def _side(draws: np.random.Generator) -> int:
    return int(draws.choice(HUGE))


def _huge_png(draws: np.random.Generator) -> bytes:
    side = _side(draws)
    color, bits = ((0, 1), (0, 16), (2, 8), (3, 8), (6, 16))[int(draws.integers(5))]
    rows = bytes(min(side * side // 8, 40_000_000))
    return png(side, side, rows, bits=bits, color=color, interlaced=int(draws.integers(2)))


def _huge_bmp(draws: np.random.Generator) -> bytes:
    side, bits = _side(draws), int(draws.choice([1, 4, 8, 24, 32]))
    compression = {4: 2, 8: 1}.get(bits, 0) if draws.random() < 0.5 else 0
    info = struct.pack("<IiiHHIIiiII", 40, side, side, 1, bits, compression, 0, 1, 1, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54 + 1024, 0, 0, 54 + 1024) + info + bytes(1024 + 64)


def _huge_gif(draws: np.random.Generator) -> bytes:
    side, frame = min(_side(draws), 65_535), int(draws.choice([1, 65_535]))
    screen = struct.pack("<HHBBB", side, side, 0x80, 0, 0) + bytes(6)
    image = b"," + struct.pack("<HHHHB", 0, 0, frame, frame, 0) + b"\x02\x02\x44\x01\0;"
    return b"GIF89a" + screen + image


def _huge_jpeg(draws: np.random.Generator) -> bytes:
    encoded = bytearray(encode(Image.new("RGB", (16, 16)), "JPEG", draws))
    at = encoded.index(b"\xff\xc0")
    encoded[at + 5 : at + 9] = struct.pack(">HH", _side(draws), _side(draws))
    if draws.random() < 0.5:
        encoded[at + 1] = 0xC2  # progressive: coefficients of the whole image are kept
    return bytes(encoded)


def _huge_webp(draws: np.random.Generator) -> bytes:
    side = int(draws.choice([9_000, 16_383]))
    body = b"VP8L" + struct.pack("<IBI", 20, 0x2F, (side - 1) | (side - 1) << 14) + bytes(15)
    if draws.random() < 0.5:  # extended: canvas and frames of an animation
        canvas = struct.pack("<I", side - 1)[:3] * 2
        frame = bytes(6) + canvas + bytes(4) + body
        body = b"VP8X" + struct.pack("<I", 10) + b"\x02\0\0\0" + canvas
        body += b"ANIM" + struct.pack("<IIH", 6, 0, 0)
        body += b"ANMF" + struct.pack("<I", len(frame)) + frame
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def _huge_tiff(draws: np.random.Generator) -> bytes:
    compression = int(draws.choice([1, 5, 8, 7, 32773]))
    tags = _tiff_tags(_side(draws), _side(draws), t259=compression, t277=int(draws.choice([1, 4])))
    return tiff(tags, tail=bytes(64))


def _huge_ppm(draws: np.random.Generator) -> bytes:
    kind = str(draws.choice(["P1", "P2", "P3", "P4", "P5", "P6"]))
    return f"{kind}\n{_side(draws)} {_side(draws)}\n255\n".encode() + bytes(64)


def _just_below(draws: np.random.Generator) -> bytes:
    """As many pixels as are decoded at most, well compressed: what memory must hold."""
    side = 9_400
    kind = int(draws.integers(4))
    if kind == 0:
        return png(side, side, bytes((side // 8 + 1) * side), bits=1)
    if kind == 1:
        return png(side, side // 8, bytes((4 * side + 1) * (side // 8)), color=6)
    if kind == 2:
        return png(side, side // 8, bytes((8 * side + 1) * (side // 8)), color=6, bits=16)
    return png(side, side // 4, bytes((side + 1) * (side // 4)), color=3)  # no palette


def _text_bomb(draws: np.random.Generator) -> bytes:
    packed = zlib.compress(bytes(int(draws.choice([2, 60])) << 20), 9)
    name, head = {
        0: (b"zTXt", b"a\0\0"),
        1: (b"iTXt", b"a\0\x01\0\0\0"),
        2: (b"iCCP", b"a\0\0"),
    }[int(draws.integers(3))]
    return png(4, 4, bytes(20), more=chunk(name, head + packed) * int(draws.choice([1, 3, 40])))


def _pixels_bomb(draws: np.random.Generator) -> bytes:
    """A few pixels, followed by many millions that the header does not mention."""
    return png(4, 4, bytes(int(draws.choice([10, 60])) << 20))


def _giant_profile(draws: np.random.Generator) -> bytes:
    blob = bytes(int(draws.integers(1, 4)) << 20)
    kind = str(draws.choice(["JPEG", "PNG", "TIFF", "WEBP"]))
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, kind, icc_profile=blob)
    return buffer.getvalue()


def _giant_exif(draws: np.random.Generator) -> bytes:
    exif = b"Exif\0\0" + tiff(
        [(0x0112, 3, 1, 6), (0x8769, 4, 1, 8), (0x9286, 7, 2**31, 4)],
        tail=bytes(int(draws.integers(0, 60_000))),
    )
    buffer = io.BytesIO()
    Image.new("RGB", (8, 6)).save(buffer, str(draws.choice(["JPEG", "PNG", "WEBP"])), exif=exif)
    return buffer.getvalue()


def _many_frames(draws: np.random.Generator) -> bytes:
    kind = str(draws.choice(["GIF", "PNG", "TIFF", "WEBP"]))
    frames = [Image.new("RGB", (3, 2), (i % 256, 0, 0)) for i in range(int(draws.integers(2, 300)))]
    buffer = io.BytesIO()
    frames[0].save(buffer, kind, save_all=True, append_images=frames[1:])
    return buffer.getvalue()


def _palette_out_of_range(draws: np.random.Generator) -> bytes:
    palette = chunk(b"PLTE", draws.bytes(3 * int(draws.choice([0, 1, 2, 255, 300]))))
    if draws.random() < 0.5:
        palette += chunk(b"tRNS", draws.bytes(int(draws.choice([0, 1, 256, 400]))))
    rows = b"".join(b"\0" + draws.bytes(9) for _ in range(7))
    return png(9, 7, rows, color=3, more=palette)


def _zero_size(draws: np.random.Generator) -> bytes:
    width, height = ((0, 5), (5, 0), (0, 0))[int(draws.integers(3))]
    if draws.random() < 0.5:
        return png(width, height, bytes(8))
    if draws.random() < 0.5:
        return tiff(_tiff_tags(width, height))
    return f"P6\n{width} {height}\n255\n".encode()


def _odd_depth(draws: np.random.Generator) -> bytes:
    bits, color = int(draws.integers(0, 40)), int(draws.integers(0, 8))
    return png(5, 4, draws.bytes(200), bits=bits, color=color)


def _odd_tiff(draws: np.random.Generator) -> bytes:
    changed = {
        "t258": int(draws.choice([0, 1, 3, 12, 16, 24, 32, 64])),
        "t259": int(draws.choice([0, 1, 2, 3, 4, 5, 6, 7, 8, 34712, 50000, 50001])),
        "t262": int(draws.integers(0, 10)),
        "t277": int(draws.choice([0, 1, 2, 3, 4, 5, 200, 70_000])),
        "t339": int(draws.integers(0, 7)),
        "t284": int(draws.integers(0, 3)),
    }
    return tiff(_tiff_tags(6, 5, **changed), tail=draws.bytes(400))


def _directory_loop(draws: np.random.Generator) -> bytes:
    """A TIFF whose next directory is its first, and whose EXIF directory is itself."""
    tags = [*_tiff_tags(6, 5), (0x8769, 4, 1, 8), (0x014A, 4, 1, 8)]
    return tiff(tags, following=8 if draws.random() < 0.7 else 2**31, tail=bytes(200))


def _many_strips(draws: np.random.Generator) -> bytes:
    """A TIFF with as many strips as a number can say."""
    tags = [tag for tag in _tiff_tags(1000, 1000) if tag[0] not in (273, 279)]
    count = int(draws.choice([10_000, 2**31, 2**32 - 1]))
    return tiff([*tags, (273, 4, count, 8), (279, 4, count, 8)], tail=bytes(40_000))


def _other_format(draws: np.random.Generator) -> bytes:
    """What Pillow would open, or run, though no photograph is stored so."""
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n(/etc/passwd) run\n"
    icon = io.BytesIO()
    Image.new("RGB", (16, 16)).save(icon, str(draws.choice(["ICO", "TGA", "PCX", "SGI", "DDS"])))
    others = [eps, icon.getvalue(), b"%PDF-1.4\n", b"<svg xmlns='http://www.w3.org/2000/svg'/>"]
    return others[int(draws.integers(len(others)))]


def _empty(draws: np.random.Generator) -> bytes:
    return bytes(int(draws.choice([0, 1, 8])))


CRAFTED: dict[str, Callable[[np.random.Generator], bytes]] = {
    "PNG of a huge size": _huge_png,
    "BMP of a huge size": _huge_bmp,
    "GIF of a huge size": _huge_gif,
    "JPEG of a huge size": _huge_jpeg,
    "WebP of a huge size": _huge_webp,
    "TIFF of a huge size": _huge_tiff,
    "PPM of a huge size": _huge_ppm,
    "as large as is decoded": _just_below,
    "compressed text or profile": _text_bomb,
    "more pixels than the header says": _pixels_bomb,
    "giant ICC profile": _giant_profile,
    "giant EXIF": _giant_exif,
    "many frames": _many_frames,
    "palette out of range": _palette_out_of_range,
    "zero size": _zero_size,
    "odd depth or color type": _odd_depth,
    "odd TIFF": _odd_tiff,
    "loop of directories": _directory_loop,
    "strips without end": _many_strips,
    "another format": _other_format,
    "empty": _empty,
}


# --------------------------------------------------------------------------------- the command


@dataclass
class Outcome:
    """What became of some files, read as an image, a label and a mask each."""

    reads: Counter = field(default_factory=Counter)
    reasons: Counter = field(default_factory=Counter)
    crashes: list[str] = field(default_factory=list)
    slowest: tuple[float, str] = (0.0, "")
    seconds: float = 0.0
    peak_mb: float = 0.0


def peak_megabytes() -> float:
    """The most memory that this process has held. ``ru_maxrss`` would count its parent's, too."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise OSError("the system does not say")


def read_all(seed: int, numbers: range) -> Outcome:
    """Read every case as an image, a label and a mask, from a file on the disk."""
    from raynef.core.errors import BadImageError, UserError
    from raynef.images.decode import read_image, read_label, read_mask

    ways = {"image": (read_image, BadImageError), "label": (read_label, UserError)}
    ways["mask"] = (read_mask, UserError)
    outcome = Outcome()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.png"
        for number in numbers:
            found = case(seed, number)
            path.write_bytes(found.encoded)
            for way, (read, refusal) in ways.items():
                started = time.process_time()  # what others do on the machine does not count
                try:
                    pixels = read(path)
                    if way == "image" and (pixels.dtype != np.uint8 or pixels.ndim != 3):
                        raise AssertionError(f"{pixels.dtype} {pixels.shape}")
                    outcome.reads[way, "handled"] += 1
                except refusal as error:
                    outcome.reads[way, "skipped"] += 1
                    outcome.reasons[way, _reason(str(error))] += 1
                except Exception as error:  # noqa: BLE001  the point of it all
                    outcome.crashes.append(f"{number} {found.kind} as {way}: {error!r}")
                took = time.process_time() - started
                outcome.seconds += took
                outcome.slowest = max(outcome.slowest, (took, f"{number}, {found.kind}, {way}"))
    outcome.peak_mb = peak_megabytes()
    return outcome


def _reason(text: str) -> str:
    """A reason without what is special to one file."""
    text = re.sub(r"^(label|mask) \S+ (cannot be read: )?", "", text)
    for known in ("not an image", "empty file", "too large"):
        if text.startswith(known):
            return known
    return re.sub(r"\d+", "N", text.partition(":")[0].partition(", got")[0])[:60]


def report(outcome: Outcome, count: int, seed: int, before_mb: float) -> str:
    lines = [f"{count} files (seed {seed})", "", "| read as | handled | skipped and named |"]
    lines.append("|---|---|---|")
    for way in ("image", "label", "mask"):
        handled, skipped = (outcome.reads[way, what] for what in ("handled", "skipped"))
        lines.append(f"| {way} | {handled} | {skipped} |")
    lines += ["", f"crashed: {len(outcome.crashes)}", *outcome.crashes, "", "skipped images:"]
    lines += [
        f"  {count:5d}  {reason}"
        for (way, reason), count in outcome.reasons.most_common()
        if way == "image"
    ]
    lines += [
        "",
        f"peak memory {outcome.peak_mb:.0f} MB, of which {before_mb:.0f} MB before the first file",
        f"{outcome.seconds:.1f} s of processor time; the slowest read {outcome.slowest[0]:.2f} s "
        f"(number {outcome.slowest[1]})",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    args = parser.parse_args()
    import raynef.images.decode  # noqa: F401  so that its memory counts as there before

    before = peak_megabytes()
    outcome = read_all(args.seed, range(args.first, args.first + args.count))
    sys.stdout.write(report(outcome, args.count, args.seed, before) + "\n")
    sys.stdout.flush()
    with contextlib.suppress(OSError):
        os.fsync(sys.stdout.fileno())
    sys.exit(1 if outcome.crashes else 0)


if __name__ == "__main__":
    main()
