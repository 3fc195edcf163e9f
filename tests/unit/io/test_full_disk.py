"""A disk that fills: one clear line, nothing half-written, nothing left behind."""

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from raynef.core.errors import DiskFullError, UserError
from raynef.io.files import append_line, read_json, within, write_atomic, write_json, write_text
from tests.places import ROOT


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("as_text", [False, True])
def test_a_full_disk_is_named_and_the_old_file_stays(number, as_text, tmp_path):
    """``as_text``: the words of safetensors, which knows no errno."""
    path = tmp_path / "x.json"
    write_text(path, "old")

    def write(temporary: Path) -> None:
        temporary.write_text("half of")
        text = os.strerror(number)
        raise (
            RuntimeError(f"I/O error: {text} (os error {number})")
            if as_text
            else OSError(number, text)
        )

    with pytest.raises(DiskFullError, match=r"^disk full: .*x\.json could not .*command again"):
        write_atomic(path, write)
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]
    assert path.read_text() == "old"


def test_other_errors_stay_what_they_are(tmp_path):
    def write(_temporary: Path) -> None:
        raise PermissionError(errno.EACCES, "no")

    with pytest.raises(PermissionError):
        write_atomic(tmp_path / "x", write)


_ON_A_SMALL_DISK = """
import sys
from pathlib import Path
import numpy, pyarrow, safetensors.torch, torch
from PIL import Image
from raynef.core.errors import DiskFullError
from raynef.io.files import append_line, write_atomic, write_json
from raynef.stores.shards import write_rows

disk = Path(sys.argv[1])
big = torch.rand(3_000_000)
rows = {"x": pyarrow.array([numpy.random.bytes(3_000_000)], pyarrow.large_binary())}
noise = Image.fromarray(numpy.random.randint(0, 255, (1500, 1500, 3), dtype=numpy.uint8))
attempts = {
    "text": lambda: write_json(disk / "a.json", "x" * 4_000_000),
    "torch": lambda: write_atomic(disk / "b.pt", lambda path: torch.save(big, path)),
    "safetensors": lambda: write_atomic(
        disk / "c.safetensors", lambda path: safetensors.torch.save_file({"x": big}, path)
    ),
    "shard": lambda: write_rows(disk, file="d.parquet", view=0, images=[0], columns=rows),
    "png": lambda: write_atomic(disk / "e.png", lambda path: noise.save(path, format="PNG")),
    "line": lambda: append_line(disk / "f.jsonl", "x" * 4_000_000),
}
for name, attempt in attempts.items():
    try:
        attempt()
    except DiskFullError as error:
        assert "disk full" in str(error) and str(disk) in str(error), error
        print(name)
    left = sorted(path.name for path in disk.iterdir())
    assert left in ([], ["f.jsonl"]), left
    (disk / "f.jsonl").unlink(missing_ok=True)
write_json(disk / "a.json", "fits")
print("resumed")
"""


def test_on_a_real_small_disk(tmp_path):
    """Every library that writes for us, on a file system of two megabytes."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = f"mount -t tmpfs -o size=2m none {disk}"
    if (
        shutil.which("unshare") is None
        or subprocess.run(["unshare", "-m", "sh", "-c", mount], capture_output=True).returncode
    ):
        pytest.skip("this user may not mount a file system of its own")
    script = tmp_path / "script.py"
    script.write_text(_ON_A_SMALL_DISK)
    root = ROOT
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", f"{mount} && exec {sys.executable} {script} {disk}"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [
        "text", "torch", "safetensors", "shard", "png", "line", "resumed",
    ]  # fmt: skip


def test_a_line_is_added_whole(tmp_path):
    append_line(tmp_path / "x", "one")
    append_line(tmp_path / "x", "two")
    assert (tmp_path / "x").read_text() == "one\ntwo\n"


def test_names_that_are_no_text_are_written_and_read_again(tmp_path):
    name = os.fsdecode(b"\xff.jpg")
    write_json(tmp_path / "x.json", {name: "Straße"})
    assert read_json(tmp_path / "x.json") == {name: "Straße"}
    write_text(tmp_path / "x.txt", f"<td>{name}</td>")
    assert "udcff" in (tmp_path / "x.txt").read_text()


@pytest.mark.parametrize("name", ["../x.png", "/etc/x.png", "a/../../x.png", "", ".", "a\0.png"])
def test_an_output_named_after_an_input_stays_in_its_folder(name, tmp_path):
    with pytest.raises(UserError, match="leads out of"):
        within(tmp_path, name)
    assert within(tmp_path, "a/b.png") == tmp_path / "a" / "b.png"


def test_json_without_a_bottom_is_no_json(tmp_path):
    (tmp_path / "x.json").write_text("[" * 200_000)
    with pytest.raises(ValueError, match="nested too deeply"):
        read_json(tmp_path / "x.json")
