"""TensorBoard's files, read back: by raynef's reader and by TensorBoard's own, where it is."""

import io

import numpy as np
import pytest
from PIL import Image

from raynef.io.loggers.backend import Log, open_backend
from raynef.io.loggers.to_tensorboard import event_files, read_events

IMAGE = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)


def log_of(folder):
    return Log(folder, "run", {"train.lr": 0.1, "train.store": None}, ("train/loss",))


def opened(folder):
    return open_backend("tensorboard", log_of(folder), place=None, known=None)


@pytest.fixture
def folder(tmp_path):
    """Of a log of two sessions, with two epochs and an end."""
    first = opened(tmp_path)
    assert first.last_step() == 0
    first.scalars({"train/loss": 2.0, "train/lr": 0.1}, step=1)
    first.close("stopped")
    second = opened(tmp_path)
    assert second.last_step() == 1
    second.scalars({"train/loss": 1.5, "train/lr": 0.05}, step=2)
    second.scores({"evaluate/miou": 0.25}, step=2)
    second.images({"overlays/0": IMAGE}, step=2)
    second.close("finished")
    return tmp_path / "tensorboard"


def test_each_step_is_one_record(folder):
    files = event_files(folder)
    assert len(files) == 2
    events = [event for path in files for event in read_events(path)]
    scalars = [
        (event.step, {value.tag: value.simple_value for value in event.summary.value})
        for event in events
        if any(value.HasField("simple_value") for value in event.summary.value)
    ]
    assert scalars[0] == (1, {"train/loss": 2.0, "train/lr": pytest.approx(0.1)})
    assert [step for step, _ in scalars] == [1, 2, 2]
    images = [value.image for event in events for value in event.summary.value if value.image.width]
    with Image.open(io.BytesIO(images[0].encoded_image_string)) as image:
        assert np.array_equal(np.asarray(image), IMAGE)
    tags = [value.tag for event in events for value in event.summary.value]
    assert tags.count("_hparams_/session_start_info") == tags.count("recipe/text_summary") == 1


def test_a_record_that_a_kill_cut_short_is_written_again(folder):
    last = event_files(folder)[0]
    last.write_bytes(last.read_bytes()[:-3])
    event_files(folder)[1].unlink()
    again = opened(folder.parent)
    assert again.last_step() == 0
    again.close("finished")


def test_tensorboard_reads_it(folder):
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="pip install tensorboard"
    )
    found = accumulator.EventAccumulator(str(folder)).Reload()
    losses = [(event.step, event.value) for event in found.Scalars("train/loss")]
    assert losses == [(1, 2.0), (2, 1.5)]
    assert found.Images("overlays/0")[0].width == 6
    content = found.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    assert b"train.lr" in content
    assert b"train.store" not in content  # None is no hyperparameter there
