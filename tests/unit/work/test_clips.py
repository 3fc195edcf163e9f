"""Videos: which frames are segmented, how their results are called, and the video of overlays."""

import json
import logging
import sys
import threading

import numpy as np
import pytest
from PIL import Image

from raynef.core.errors import BadImageError, UserError
from raynef.images.decode import read_image
from raynef.images.video import Frame, decoded, look_at, write_video
from raynef.jobs.predict import Options, predict
from raynef.models.segmenter import Segmenter

av = pytest.importorskip("av", reason="PyAV, of the extra video")

pytestmark = pytest.mark.usefixtures("without_ray", "one_thread")
SIZE, RATE, NUM = (66, 90), 10, 35  # three and a half seconds


@pytest.fixture(scope="module")
def segmenter(untrained_run):
    return untrained_run(6, short_side=32) / "segmenter"


@pytest.fixture(scope="module")
def pictures(sample):
    """A window that moves over a scene, for a second each, and comes back."""
    with Image.open(sample / "images" / "val_00000.jpg") as image:
        whole = np.asarray(image.resize((128, 96)))
    shown = [whole[4 * n : 4 * n + SIZE[0], 6 * n : 6 * n + SIZE[1]] for n in (0, 3, 0, 5)]
    return [shown[index // RATE] for index in range(NUM)]


def encode(path, pictures, *, codec="libx264", times=None):
    """A video; without loss where the codec has it, for frames alike to be so to the bit."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=RATE)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.gop_size = 12  # several key frames
        stream.bit_rate = 4_000_000
        if codec == "libx264":
            stream.options = {"qp": "0"}
        for number, pixels in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            frame.pts = number if times is None else times[number]
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def clip(pictures, tmp_path_factory):
    return encode(tmp_path_factory.mktemp("clips") / "clip.mp4", pictures)


def looked_at(path, every=None):
    with path.open("rb") as file:
        return look_at(file, every)


def frames_of(path, frames, **stamped):
    with path.open("rb") as file:
        return dict(decoded(file, frames, **{"stamped": True, **stamped}))


def names(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_a_frame_a_second_has_stable_ids(segmenter, clip, tmp_path):
    """The first and the third second show the same, and are of the same clusters."""
    out = tmp_path / "out"
    result = predict(segmenter, clip, out)
    assert (result["num_images"], result["num_videos"], result["skipped"]) == (4, 1, {})
    indices = [0, 10, 20, 30]
    assert names(out / "clusters") == [f"clip/{index:06d}.png" for index in indices]
    assert names(out / "overlays") == names(out / "clusters")
    film = looked_at(clip)
    assert [frame.index for frame in film.frames] == indices
    assert film.size == SIZE
    maps = [np.asarray(Image.open(out / "clusters" / name)) for name in names(out / "clusters")]
    found = Segmenter.load(segmenter)
    for ids, pixels in zip(maps, frames_of(clip, film.frames).values(), strict=True):
        np.testing.assert_array_equal(ids, found(pixels).clusters)
    np.testing.assert_array_equal(maps[0], maps[2])
    assert (maps[0] != maps[1]).any()
    manifest = json.loads((out / "manifest.json").read_text())
    assert [image["name"] for image in manifest["images"]] == [
        f"clip.mp4/{index:06d}" for index in indices
    ]
    assert manifest["videos"] == [{"name": "clip.mp4", "source": str(clip), "num_frames": 4}]


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.mkv", "libx264"), ("a.avi", "mpeg4"), ("a.webm", "libvpx"), ("a.mov", "libx264")],
)
def test_any_part_is_decoded_alone(name, codec, pictures, tmp_path):
    path = encode(tmp_path / name, pictures, codec=codec)
    every = looked_at(path, 1).frames
    assert [frame.index for frame in every] == list(range(NUM))
    assert [frame.time_s for frame in every] == pytest.approx(
        [n / RATE for n in range(NUM)], abs=2e-3
    )
    whole = frames_of(path, every)
    assert list(whole) == list(every)
    for start, step in ((0, 7), (13, 1), (30, 1), (34, 1)):
        part = every[start:][::step][:3]
        found = frames_of(path, part)
        assert list(found) == list(part)
        for frame, pixels in found.items():
            np.testing.assert_array_equal(pixels, whole[frame])
    for frame, pixels in whole.items():
        assert np.abs(pixels.astype(int) - pictures[frame.index]).mean() < 12


def test_which_frames(pictures, tmp_path):
    path = encode(tmp_path / "a.mp4", pictures)
    assert [frame.index for frame in looked_at(path, 8).frames] == [0, 8, 16, 24, 32]
    times = [0, 1, 2, 9, 11, 12, 35, 36]  # of no even rate: the first of the seconds 0, 1 and 3
    path = encode(tmp_path / "b.mp4", pictures[: len(times)], times=times)
    assert [frame.index for frame in looked_at(path).frames] == [0, 4, 6]


def test_frames_without_timestamps_are_counted(clip, pictures):
    frames = [Frame(index, index, 0.0) for index in (3, 21)]
    found = frames_of(clip, frames, stamped=False)
    assert list(found) == frames
    for frame, pixels in found.items():
        assert np.abs(pixels.astype(int) - pictures[frame.index]).mean() < 12


def test_a_turned_video_is_upright(clip, pictures, tmp_path):
    """As phones make them, whose sensor lies: by the matrix of the track."""
    plain = bytes.fromhex("00010000 00000000 00000000 00000000 00010000 00000000 00000000 00000000 40000000")  # fmt: skip  # noqa: E501
    quarter = bytes.fromhex("00000000 00010000 00000000 ffff0000 00000000 00000000 00000000 00000000 40000000")  # fmt: skip  # noqa: E501
    content = clip.read_bytes()
    track = content.index(plain, content.index(b"tkhd"))
    turned = tmp_path / "turned.mp4"
    turned.write_bytes(content[:track] + quarter + content[track + len(plain) :])
    (pixels,) = frames_of(turned, looked_at(turned).frames[:1]).values()
    assert pixels.shape == (SIZE[1], SIZE[0], 3)
    expected = np.rot90(pictures[0], -1)  # clockwise
    assert np.abs(pixels.astype(int) - expected).mean() < 12


def test_the_same_command_resumes(segmenter, pictures, tmp_path):
    folder, out = tmp_path / "videos", tmp_path / "out"
    folder.mkdir()
    encode(folder / "a.mp4", pictures)
    encode(folder / "b.mkv", pictures[:12])
    Image.fromarray(pictures[0]).save(folder / "a.png")
    assert predict(segmenter, folder, out)["num_images"] == 1 + 4 + 2
    assert predict(segmenter, folder, out)["num_kept"] == 7
    (out / "clusters" / "a" / "000010.png").unlink()
    assert predict(segmenter, folder, out)["num_kept"] == 6
    encode(folder / "b.mkv", pictures[12:24])
    assert predict(segmenter, folder, out)["num_kept"] == 5
    more = predict(segmenter, folder, out, options=Options(every=5))
    assert (more["num_kept"], more["num_images"]) == (7, 1 + 7 + 3)


def test_the_overlays_become_a_video_again(segmenter, pictures, tmp_path):
    folder, out, options = tmp_path / "videos", tmp_path / "out", Options(overlay="video", every=5)
    folder.mkdir()
    path = encode(folder / "a.mp4", pictures)
    assert predict(segmenter, folder, out, options=options)["num_images"] == 7
    video = out / "overlays" / "a.mp4"
    film = looked_at(video, 1)
    assert film.size == SIZE
    assert [frame.time_s for frame in film.frames] == pytest.approx([n / 2 for n in range(7)])
    for frame, pixels in frames_of(video, film.frames).items():
        drawn = read_image(out / "overlays" / "a" / f"{frame.index * 5:06d}.jpg")
        assert np.abs(pixels.astype(int) - drawn).mean() < 12
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["videos"][0]["overlay"] == "overlays/a.mp4"

    content, time = video.read_bytes(), video.stat().st_mtime_ns
    assert predict(segmenter, folder, out, options=options)["num_kept"] == 7
    assert video.stat().st_mtime_ns == time
    video.unlink()
    assert predict(segmenter, folder, out, options=options)["num_kept"] == 7
    assert video.read_bytes() == content
    denser = Options(overlay="video", every=1)
    assert predict(segmenter, folder, out, options=denser)["num_kept"] == 7
    assert len(looked_at(video, 1).frames) == NUM
    assert predict(segmenter, folder, out, options=options)["num_kept"] == 7
    assert video.read_bytes() == content
    encode(path, pictures[:20])
    predict(segmenter, folder, out, options=options)
    assert len(looked_at(video, 1).frames) == 4
    predict(segmenter, folder, out, options=Options(overlay="png", every=5))
    assert not video.exists()


def test_sides_of_a_written_video_are_even(tmp_path):
    pictures = [np.full((31, 47, 3), value, np.uint8) for value in (40, 200)]
    write_video(tmp_path / "a.mp4", [(0.0, pictures[0]), (2.5, pictures[1])])
    film = looked_at(tmp_path / "a.mp4", 1)
    assert (film.size, [frame.time_s for frame in film.frames]) == ((32, 48), [0, 2.5])


@pytest.mark.slow
def test_busy_cores_write_the_same_bytes(tmp_path):
    draws, done = np.random.default_rng(0), threading.Event()
    small = draws.integers(0, 256, (7, 6, 8, 3), np.uint8)
    pictures = [(n / 2, small[n].repeat(8, axis=0).repeat(8, axis=1)) for n in range(7)]

    def busy() -> None:
        square = draws.random((300, 300))
        while not done.is_set():
            np.matmul(square, square)

    threads = [threading.Thread(target=busy) for _ in range(4)]
    for thread in threads:
        thread.start()
    found = set()
    try:
        for _ in range(400):
            write_video(tmp_path / "a.mp4", pictures)
            found.add((tmp_path / "a.mp4").read_bytes())
    finally:
        done.set()
    assert len(found) == 1


def test_names_that_are_taken(segmenter, pictures, tmp_path):
    folder, out = tmp_path / "videos", tmp_path / "out"
    (folder / "c").mkdir(parents=True)
    for name in ("a.mp4", "a.mkv", "b.mp4", "c.mp4"):
        encode(folder / name, pictures[:2])
    Image.fromarray(pictures[0]).save(folder / "c" / "000000.png")
    assert predict(segmenter, folder, out, options=Options(overlay="video"))["num_images"] == 5
    assert names(out / "clusters") == [
        "a.mkv/000000.png", "a.mp4/000000.png", "b/000000.png", "c.mp4/000000.png", "c/000000.png",
    ]  # fmt: skip
    assert [name for name in names(out / "overlays") if name.endswith(".mp4")] == [
        "a.mkv.mp4", "a.mp4.mp4", "b.mp4", "c.mp4.mp4",
    ]  # fmt: skip


def test_corrupt_frames_and_files_are_skipped_and_named(segmenter, clip, pictures, tmp_path):
    folder, out = tmp_path / "videos", tmp_path / "out"
    folder.mkdir()
    moving = [np.roll(pixels, 2 * index, axis=1) for index, pixels in enumerate(pictures)]
    encode(folder / "bad.avi", moving, codec="mjpeg")
    content = bytearray((folder / "bad.avi").read_bytes())
    with av.open(str(folder / "bad.avi")) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    place = content.index(bytes(packets[20]))
    content[place : place + packets[20].size] = b"\0" * packets[20].size
    (folder / "bad.avi").write_bytes(content)
    (folder / "cut.mp4").write_bytes(clip.read_bytes()[:3000])
    (folder / "empty.mov").write_bytes(b"")
    (folder / "text.mkv").write_bytes(b"no video")
    (folder / "list.mp4").write_bytes(b"#EXTM3U\n#EXTINF:1,\nother.ts\n#EXT-X-ENDLIST\n")
    result = predict(segmenter, folder, out)
    assert result["num_images"] == 3
    assert result["skipped"].pop("bad.avi/000020") == "the frame cannot be decoded"
    files = {"cut.mp4", "empty.mov", "text.mkv", "list.mp4"}
    assert result["skipped"] == dict.fromkeys(files, "not a video, or a damaged one")
    assert names(out / "clusters") == [f"bad/{index:06d}.png" for index in (0, 10, 30)]
    manifest = json.loads((out / "manifest.json").read_text())
    assert set(manifest["skipped"]) == files | {"bad.avi/000020"}


def test_without_the_extra_videos_are_counted_and_named(
    segmenter, clip, pictures, tmp_path, monkeypatch, caplog
):
    folder, out = tmp_path / "videos", tmp_path / "out"
    folder.mkdir()
    (folder / "clip.MP4").write_bytes(clip.read_bytes())
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(UserError, match=r"not one image .*clip.MP4: .*pip install 'raynef\[video"):
        predict(segmenter, folder, out)
    Image.fromarray(pictures[0]).save(folder / "a.png")
    with caplog.at_level(logging.WARNING, "raynef"):
        result = predict(segmenter, folder, out)
    assert "skipped 1 file(s): clip.MP4: a video needs the extra video" in caplog.text
    assert (result["num_images"], list(result["skipped"])) == (1, ["clip.MP4"])
    with pytest.raises(BadImageError, match="needs the extra video"):
        looked_at(clip)


def test_videos_at_an_address(segmenter, clip, tmp_path):
    from raynef.io.sink import write_bytes
    from raynef.io.storage import list_files

    place = f"fsspec+memory:///{tmp_path.name}"
    write_bytes(f"{place}/in/clip.mp4", clip.read_bytes())
    options = Options(overlay="video")
    assert predict(segmenter, f"{place}/in", f"{place}/out", options=options)["num_images"] == 4
    assert {"clusters/clip/000030.png", "overlays/clip.mp4"} <= set(list_files(f"{place}/out"))
    again = predict(segmenter, f"{place}/in/clip.mp4", f"{place}/out", options=options)
    assert again["num_kept"] == 4


def test_a_number_of_frames_is_at_least_one(segmenter, clip, tmp_path):
    with pytest.raises(UserError, match="--every must be at least 1 frame, got 0"):
        predict(segmenter, clip, tmp_path / "out", options=Options(every=0))
