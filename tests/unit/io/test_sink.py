"""Files are written whole, wherever they belong."""

import pytest

from raynef.core.errors import UserError
from raynef.io import sink
from raynef.io.sink import remove, write_bytes, write_made
from raynef.io.storage import is_file, join, list_files, read_bytes
from tests.s3_server import s3_server


@pytest.fixture(params=["path", "file", "s3", "fsspec"])
def root(request, tmp_path):
    """A place that holds nothing."""
    if request.param == "s3":
        with s3_server(tmp_path) as server:
            yield server.address()
    else:
        memory = f"fsspec+memory:///{tmp_path.name}"
        kinds = {"path": str(tmp_path), "file": tmp_path.as_uri(), "fsspec": memory}
        yield kinds[request.param]


def test_what_is_written_is_read(root, tmp_path_factory):
    place = join(root, "a b", "c%d.bin")
    write_bytes(place, b"first")
    write_bytes(place, b"second")
    assert read_bytes(place) == b"second"
    content = bytes(range(256)) * (24 << 10)
    scratch = tmp_path_factory.mktemp("scratch")
    write_made(join(root, "made"), lambda path: path.write_bytes(content), scratch)
    assert read_bytes(join(root, "made")) == content
    assert list_files(root) == ["a b/c%d.bin", "made"]
    assert not list(scratch.iterdir())
    remove(place)
    remove(place)
    assert not is_file(place)


def test_s3_that_fails_now_and_then(tmp_path, monkeypatch):
    monkeypatch.setattr(sink, "PAUSES_S", (0.0, 0.0))
    with s3_server(tmp_path) as server:
        server.failures = 2
        write_bytes(server.address("x"), b"content")
    assert (tmp_path / "x").read_bytes() == b"content"


def test_what_cannot_be_written_is_named_without_its_keys(tmp_path, monkeypatch):
    monkeypatch.setattr(sink, "PAUSES_S", (0.0, 0.0))
    with pytest.raises(UserError, match="nonsense"):
        write_bytes("nonsense://bucket/x", b"")
    with s3_server(tmp_path) as server:
        server.denies = True
        with pytest.raises(OSError, match=r"^s3://bucket/x: ") as raised:
            write_bytes(server.address("x"), b"")
    assert "s3cret" not in str(raised.value)


def test_a_path_that_cannot_be_made_leaves_nothing(tmp_path):
    def broken(path):
        path.write_bytes(b"half")
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        write_made(str(tmp_path / "x"), broken, tmp_path)
    assert not list(tmp_path.iterdir())
