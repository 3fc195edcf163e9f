"""The report of a run: what it gathers, where it is written, and the commands on it."""

import json
import re
import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from raynef.cli.commands import parse
from raynef.io.files import read_json, write_json
from raynef.jobs.evaluate import evaluate
from raynef.jobs.report import seen_by, write_report
from raynef.models.names import change_names
from raynef.models.segmenter import Segmenter
from raynef.stores.run import RunFolder
from tests.known import present

pytestmark = pytest.mark.usefixtures("without_ray")


@pytest.fixture
def run(run_here, tmp_path) -> Path:
    """A copy; no labels name its clusters, as another test may have let them."""
    copy = Path(shutil.copytree(run_here[0], tmp_path / "my runs" / "run"))
    config = copy / "segmenter" / "config.json"
    write_json(config, {**read_json(config), "mapping": None})
    for scores in copy.glob("evaluate*.json"):
        scores.unlink()
    return copy


def known_of(page: str) -> dict:
    found = re.search(r'<script type="application/json" id="known">(.*?)</script>', page)
    return json.loads(present(found)[1])


def test_a_page_without_images_replaces_none_with_images(run):
    whole = Path(write_report(run)["report"])
    before = whole.read_text(encoding="utf-8")
    result = write_report(run, images=False)
    assert result["report"] == str(run / "report-no-images.html")
    plain = Path(result["report"]).read_text(encoding="utf-8")
    assert "data:image" not in plain
    assert 'class="branches"' in plain  # the tree is no image
    assert whole.read_text(encoding="utf-8") == before
    RunFolder(run).set_aside_result("2")
    assert sorted(path.name for path in (run / "before" / "2").glob("*.html")) == [
        "report-no-images.html",
        "report.html",
    ]
    assert not list(run.glob("*.html"))


def test_without_labels_the_names_of_a_person_are_the_classes(run, sample, tmp_path):
    shutil.copytree(sample / "images", tmp_path / "photos")
    record = read_json(run / "run.json")
    record["recipe"]["data"]["root"] = str(tmp_path / "photos")
    write_json(run / "run.json", record)
    page = Path(write_report(run)["report"]).read_text(encoding="utf-8")
    assert "No label files." in page
    assert {tuple(rest) for _, *rest in known_of(page)["clusters"].values()} == {("", -1)}
    change_names(run / "segmenter", 12, dict.fromkeys(range(12), "thing"))
    page = Path(write_report(run)["report"]).read_text(encoding="utf-8")
    assert {tuple(rest) for _, *rest in known_of(page)["clusters"].values()} == {("thing", 0)}
    assert known_of(page)["classes"]["0"][1] == "thing"


def test_beside_labels_the_classes_are_theirs(run):
    change_names(run / "segmenter", 12, dict.fromkeys(range(12), "thing"))
    page = Path(write_report(run)["report"]).read_text(encoding="utf-8")
    assert {tuple(rest) for _, *rest in known_of(page)["clusters"].values()} == {("thing", -1)}
    assert "mean IoU" not in page  # nothing says which class a cluster is
    assert known_of(page)["classes"]["0"][1] == "sky"
    evaluate(run)
    page = Path(write_report(run)["report"]).read_text(encoding="utf-8")
    assert {name for _, name, _ in known_of(page)["clusters"].values()} == {"thing"}
    assert known_of(page)["classes"]["0"][1] == "sky"
    assert "mean IoU" in page


def test_images_are_seen_together_as_they_are_seen_alone(run):
    """In their order, whatever sizes lie between; those cut into windows too."""
    segmenter = Segmenter.load(run)
    draws = np.random.default_rng(0)
    sizes = [(64, 64), (48, 80), (64, 64), (40, 96), (48, 80), (64, 64)]
    images = [draws.integers(0, 256, (*size, 3), np.uint8) for size in sizes]
    for batch_size, input_size in ((2, None), (3, 64)):
        segmenter.backbone_config = replace(
            segmenter.backbone_config, batch_size=batch_size, input_size=input_size
        )
        together = seen_by(segmenter, images)
        alone = [segmenter.patch_maps(image[None])[0] for image in images]
        assert [found.windows for found in together] == [found.windows for found in alone]
        assert together[3].windows.count == (1 if input_size is None else 3)
        for one, other in zip(together, alone, strict=True):
            torch.testing.assert_close(one.logits, other.logits, rtol=1e-4, atol=1e-4)
    assert seen_by(segmenter, []) == []


def test_commands_can_be_pasted(run, sample):
    page = Path(write_report(run, images=False)["report"]).read_text(encoding="utf-8")
    commands = [
        shlex.split(text.replace("&#39;", "'"))
        for text in re.findall(r"<pre><code>(.*?)</code></pre>", page)
    ]
    _, *next_ones = commands  # the first is of the tests' own process
    assert [words[1] for words in next_ones] == ["name", "predict", "evaluate", "export", "report"]
    for words in next_ones:
        assert words[0] == "raynef"
        parse(words[1:])
        assert words[2] == str(run)
    assert next_ones[1][3] == str(sample / "images")
