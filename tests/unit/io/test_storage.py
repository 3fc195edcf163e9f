"""Locations: the same answers from a disk, from Arrow's file systems and from S3."""

import io
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from raynef.core.errors import BadImageError, UserError
from raynef.images.decode import read_image
from raynef.io import storage
from raynef.io.storage import (
    absolute,
    file_sizes,
    is_address,
    is_file,
    is_folder,
    join,
    list_files,
    name_of,
    read_bytes,
    read_lines,
    read_text,
    without_secrets,
)
from tests.s3_server import s3_server

KINDS = ["path", "file", "memory", "mock", "s3"]
ODD_NAMES = [
    "a b.png",
    "50%.png",
    "a%20b.png",
    "ü/é 1.png",
    "q?x=1&y.png",
    "h#1.png",
    "k=v+w@x.png",
]

Make = Callable[[dict[str, bytes]], str]


@pytest.fixture(params=KINDS)
def make(request, tmp_path) -> Make:
    """Write files {name: content}; the location of the folder that holds them."""
    folder = tmp_path / "my set"

    def write(files: dict[str, bytes]) -> str:
        if request.param in ("memory", "mock"):
            scheme = {"memory": "fsspec+memory:///", "mock": "mock:///"}[request.param]
            root = f"{scheme}{request.node.name.replace('[', '-').replace(']', '')}"
            for name, content in files.items():
                system, path = storage.open_address(join(root, name))
                system.create_dir(path.rpartition("/")[0], recursive=True)
                with system.open_output_stream(path) as stream:
                    stream.write(content)
            return root
        for name, content in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        if request.param == "s3":
            server = request.getfixturevalue("s3")
            return server.address("my set")
        return str(folder) if request.param == "path" else f"file://{folder}"

    return write


@pytest.fixture
def s3(tmp_path):
    with s3_server(tmp_path) as server:
        yield server


# ---------------------------------------------------------------------------- files and folders


def test_what_is_there(make):
    root = absolute(make({"b.png": b"123", "sub/a.PNG": b"", "classes.txt": b"x"}))
    assert is_folder(root)
    assert not is_file(root)
    assert is_folder(join(root, "sub"))
    assert not is_folder(join(root, "su"))
    assert is_file(join(root, "b.png"))
    assert not is_folder(join(root, "b.png"))
    assert not is_file(join(root, "none"))
    assert list_files(root) == ["b.png", "classes.txt", "sub/a.PNG"]
    assert list_files(root, suffixes=(".png",)) == ["b.png", "sub/a.PNG"]
    assert list_files(root, recursive=False) == ["b.png", "classes.txt"]
    assert list_files(join(root, "none")) == []
    assert list_files(join(root, "b.png")) == []


def test_hidden_ones_are_left_out_below_a_folder_only(make):
    root = join(make({f".hidden/{name}": b"" for name in ("a", ".b", ".c/d", "e/.f")}), ".hidden")
    assert list_files(root) == ["a"]


def test_names_of_every_kind_are_read_as_they_are_listed(make):
    root = absolute(make({name: name.encode() for name in ODD_NAMES}))
    assert list_files(root) == sorted(ODD_NAMES)
    for name in ODD_NAMES:
        assert read_bytes(join(root, name)).decode() == name
    assert file_sizes([join(root, name) for name in ODD_NAMES]) == [
        len(name.encode()) for name in ODD_NAMES
    ]


def test_a_missing_file_is_an_oserror_as_of_a_disk(make):
    missing = join(make({"a": b""}), "b.png")
    with pytest.raises(FileNotFoundError) as caught:
        read_bytes(missing)
    assert caught.value.strerror == "No such file or directory"
    with pytest.raises(UserError, match=r"b\.png cannot be read: .*No such file"):
        read_text(missing)


def test_a_folder_is_no_file_to_read(make, monkeypatch):
    monkeypatch.setattr(storage, "PAUSES_S", (0.0,))
    with pytest.raises(OSError):  # noqa: PT011  each kind says it in its words
        read_bytes(join(make({"sub/a": b""}), "sub"))


def test_text_and_lines(make):
    root = make({"a.txt": "b\r\n\n ü \n".encode(), "latin.txt": b"\xfc", "empty.txt": b""})
    assert read_text(join(root, "a.txt")) == "b\r\n\n ü \n"
    assert read_lines(join(root, "a.txt")) == ["b", "ü"]
    assert read_lines(join(root, "empty.txt")) == []
    with pytest.raises(UserError, match=r"latin\.txt cannot be read: 'utf-8' codec"):
        read_lines(join(root, "latin.txt"))


@pytest.mark.parametrize("count", [3, 30])
def test_sizes(make, count):
    root = make({f"s/{i}.png": b"x" * i for i in range(count)} | {"other": b"123"})
    wanted = [join(root, f"s/{i}.png") for i in range(count + 1)]
    wanted += [join(root, "other"), join(root, "s"), join(root, "no/where"), wanted[2]]
    assert file_sizes(wanted) == [*range(count), None, 3, None, None, 2]


def test_sizes_of_nothing_and_of_several_places(make, tmp_path):
    root = make({"a": b"12"})
    (tmp_path / "b").write_bytes(b"123")
    assert file_sizes([]) == []
    places = [join(root, "a"), str(tmp_path / "b"), f"file://{tmp_path}/b"]
    assert file_sizes(places) == [2, 3, 3]


# ---------------------------------------------------------------------------------- local disks


def test_links(tmp_path):
    folder, elsewhere = tmp_path / "set", tmp_path / "elsewhere"
    for name in ("a.png", "sub/b.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    elsewhere.mkdir()
    (elsewhere / "c.png").touch()
    (folder / "linked").symlink_to(elsewhere)
    (folder / "file.png").symlink_to(elsewhere / "c.png")
    (folder / "broken.png").symlink_to(tmp_path / "none")
    (folder / "loop.png").symlink_to(folder / "loop.png")
    (folder / "sub" / "up").symlink_to(folder)  # a circle
    (elsewhere / "back").symlink_to(folder)
    os.mkfifo(folder / "pipe.png")
    everything = ["a.png", "file.png", "linked/c.png", "sub/b.png"]
    assert list_files(str(folder)) == everything
    assert list_files(str(folder), follow_links=False) == ["a.png", "file.png", "sub/b.png"]


def test_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert absolute("a/b/") == absolute(Path("a/b")) == f"{tmp_path}/a/b"
    assert absolute(".") == str(tmp_path)
    assert absolute("~/set") == f"{tmp_path}/home/set"
    assert absolute("/a b/50%") == "/a b/50%"
    assert join("/", "a") == "/a"
    assert join("/a/", "/b/", "", "c d/e") == "/a/b/c d/e"
    assert name_of("/a/b") == "b"
    assert without_secrets("/a?b@c") == "/a?b@c"


# ------------------------------------------------------------------------------------ addresses


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("s3://bucket", True),
        ("fsspec+memory:///x", True),
        ("/a/b", False),
        ("a://", True),
        ("1a://b", False),
        ("dir/s3://b", False),
        ("s3:/bucket", False),
    ],
)
def test_is_address(location, expected):
    assert is_address(location) == expected


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("s3://bucket/", "s3://bucket"),
        ("s3://bucket/a/", "s3://bucket/a"),
        ("s3://bucket/my set", "s3://bucket/my%20set"),
        ("s3://bucket/my%20set/", "s3://bucket/my%20set"),
        ("s3://bucket/50%/k=v", "s3://bucket/50%25/k=v"),
        ("s3://bucket/?region=r", "s3://bucket?region=r"),
        ("s3://k:s@bucket/a/?region=r&scheme=http", "s3://k:s@bucket/a?region=r&scheme=http"),
        ("file:///", "file:///"),
        ("file:///a", "file:///a"),
        ("fsspec+memory://a?b", "fsspec+memory://a?b"),
    ],
)
def test_an_address_is_written_in_one_way(address, expected):
    assert absolute(address) == expected
    assert absolute(expected) == expected


@pytest.mark.parametrize(
    ("address", "joined"),
    [
        ("s3://bucket", "s3://bucket/a/b%20c"),
        ("s3://bucket/x/?region=r", "s3://bucket/x/a/b%20c?region=r"),
        ("file:///", "file:///a/b%20c"),
        ("mock:///x%20y", "mock:///x%20y/a/b%20c"),
    ],
)
def test_names_are_joined_before_the_options(address, joined):
    assert join(address, "a", "/b c/") == join(address, "a/b c") == joined
    assert join(address) == join(address, "") == absolute(address)


@pytest.mark.parametrize(
    ("address", "name", "shown"),
    [
        ("s3://key:se%2Fcret@bucket/a/my%20set?region=r", "my set", "s3://bucket/a/my%20set"),
        ("s3://key:secret@bucket", "bucket", "s3://bucket"),
        ("file:///a", "a", "file:///a"),
    ],
)
def test_what_is_shown_of_an_address(address, name, shown):
    assert name_of(address) == name
    assert without_secrets(address) == shown


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("nope://u:p@bucket/x", "nope://bucket does not open: Unrecognized filesystem type"),
        ("fsspec+nope://x/y", "fsspec.nope://x does not open: Protocol not known"),
        ("file://host/x", "file://host does not open: Unsupported hostname"),
        ("s3://bucket/x?nonsense=1", "s3://bucket does not open: .*nonsense"),
    ],
)
def test_an_address_that_nothing_opens(address, message):
    for ask in (read_bytes, read_text, is_file, is_folder, list_files, lambda x: file_sizes([x])):
        with pytest.raises(UserError, match=message) as caught:
            ask(address)
        assert "u:p" not in str(caught.value)


# ------------------------------------------------------------------------- requests and failures


def test_refusal_at_the_first_request_names_address_and_reason(s3):
    s3.denies = True
    address = s3.address("set")
    for ask in (is_file, is_folder, list_files, lambda x: file_sizes([x])):
        with pytest.raises(UserError, match=r"s3://bucket.* does not open: .*ACCESS_DENIED") as why:
            ask(address)
        assert "s3cret" not in str(why.value)


def test_a_server_that_is_not_there():
    options = "scheme=http&endpoint_override=127.0.0.1:1&retry_limit_seconds=1"
    address = f"gs://anonymous@bucket/set?{options}"
    with pytest.raises(UserError, match=r"gs://bucket/set does not open: .*connect"):
        is_folder(address)


def test_listings_in_place_of_a_request_for_each_file(s3, tmp_path):
    for i in range(40):
        (tmp_path / f"set/{i % 2}").mkdir(parents=True, exist_ok=True)
        (tmp_path / f"set/{i % 2}/{i}.png").touch()
    root = s3.address("set")
    names = list_files(root)
    assert s3.asked == ["LIST set/"]
    s3.asked.clear()
    assert file_sizes([join(root, name) for name in names]) == [0] * 40
    assert sorted(s3.asked) == ["LIST set/0/", "LIST set/1/"]


class Flaky:
    """Stands for a file system: fails as it is told, then reads."""

    def __init__(self, *failures: Exception) -> None:
        self.failures, self.asked = list(failures), 0

    def open_input_stream(self, path: str) -> io.BytesIO:
        self.asked += 1
        if self.failures:
            raise self.failures.pop(0)
        return io.BytesIO(path.encode())


@pytest.mark.parametrize(
    ("failures", "asked", "raised"),
    [
        ([], 1, None),
        ([OSError("reset"), RuntimeError("of a library")], 3, None),
        ([OSError("reset")] * 3, 3, OSError),
        ([RuntimeError("of a library")] * 3, 3, OSError),
        ([FileNotFoundError("gone")], 1, FileNotFoundError),
        ([PermissionError("not yours")], 1, OSError),
        ([IsADirectoryError("a folder")], 1, OSError),
    ],
)
def test_what_fails_is_read_again_a_few_times(failures, asked, raised, monkeypatch):
    flaky = Flaky(*failures)
    monkeypatch.setattr(storage, "_system", lambda head, options: (flaky, ""))
    monkeypatch.setattr(storage, "PAUSES_S", (0.0, 0.0))
    if raised is None:
        assert read_bytes("s3://bucket/a%20b") == b"a b"
    else:
        with pytest.raises(raised):
            read_bytes("s3://bucket/a%20b")
    assert flaky.asked == asked


def test_a_file_that_cannot_be_read_is_a_bad_image_with_its_reason(monkeypatch):
    flaky = Flaky(*[OSError("AWS Error SLOW_DOWN")] * 3)
    monkeypatch.setattr(storage, "_system", lambda head, options: (flaky, ""))
    monkeypatch.setattr(storage, "PAUSES_S", (0.0, 0.0))
    with pytest.raises(BadImageError, match=r"cannot be read .AWS Error SLOW_DOWN"):
        read_image("s3://bucket/a.png")


def test_s3_is_read_in_spite_of_failures_that_pass(s3, tmp_path):
    (tmp_path / "a").write_bytes(b"123")
    s3.failures = 2
    assert read_bytes(s3.address("a")) == b"123"
    assert s3.failures == 0
