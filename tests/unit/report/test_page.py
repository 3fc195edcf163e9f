"""The page is whole, safe with hostile names, and complete without any other file."""

import base64
import dataclasses
import hashlib
import json
import re
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pytest

from raynef.report.page import render
from raynef.report.records import ClusterCard, Evaluation, GalleryItem, Report, SkippedFile
from tests.known import present

HOSTILE = '<script>alert("1")</script>&"\'.jpg'
VOID = {"meta", "img", "br", "link"}


class Balance(HTMLParser):
    """Collects text and attributes, and fails where a tag closes another."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.scripts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)
        elif self.open and self.open[-1] != "style":
            self.text.append(data)


def parse(page: str) -> Balance:
    parser = Balance()
    parser.feed(page)
    parser.close()
    assert parser.open == []
    return parser


def words(page: str) -> str:
    # Not str.split(), which would also take the thin spaces inside numbers.
    return re.sub(r"[ \n]+", " ", " ".join(parse(page).text))


def an_item(name: str, rng: np.random.Generator, size: tuple[int, int] = (60, 90)) -> GalleryItem:
    clusters = np.kron(rng.integers(0, 20, (6, 9)), np.ones((size[0] // 6, size[1] // 9), int))
    return GalleryItem(
        name=name,
        image=rng.integers(0, 256, (*size, 3), dtype=np.uint8),
        clusters=clusters,
        classes=np.where(clusters > 15, -1, clusters % 3),
        label=np.where(clusters == 7, 255, clusters % 3).astype(np.uint8),
    )


@pytest.fixture
def report() -> Report:
    rng = np.random.default_rng(0)
    steps = [
        {
            "step": i,
            "epoch": i // 10,
            "loss": -0.5 * i,
            "trace": 0.6 * i,
            "penalty": 0.1 * i,
            "tau": 1 - i / 100,
            "lr": 1e-3,
            "clusters_in_use": 20,
            "entropy": np.float32(2.5),
            "columns_below_1": 1,
        }
        for i in range(50)
    ]
    names = ["cow", HOSTILE, "sky"]
    return Report(
        title=f"Run {HOSTILE}",
        summary={"miou": 0.6213, "clusters in use": 20, "backbone": HOSTILE, "own_number": -3.25},
        recipe={"seed": 0, "train": {"lr": 1e-3, "leak_labels": False, HOSTILE: [1, 2]}},
        environment={"python": "3.11", "machine": {"cpu": HOSTILE}},
        steps=steps,
        evaluation=Evaluation.from_json(
            {
                "miou": 0.6213,
                "accuracy": 0.8,
                "per_class_iou": {"cow": 0.5, HOSTILE: 0.75, "sky": None},
                "num_images": 12,
                "protocol": "folder",
                "matching": "iou",
                "class_names": names,
            }
        ),
        gallery=[an_item(HOSTILE, rng), an_item("plain.jpg", rng)],
        clusters=[
            ClusterCard(7, 0.25, HOSTILE, 0.9, (rng.integers(0, 256, (32, 32, 3), np.uint8),) * 4),
            ClusterCard(3, 0.1, None, None, ()),
        ],
        skipped=[SkippedFile(HOSTILE, "truncated")],
    )


def test_page_is_well_formed_and_says_what_it_shows(report: Report) -> None:
    text = words(render(report))
    for phrase in ("62.1\u202f%", "Higher is better", "cluster 7", "25.0\u202f% of patches"):
        assert phrase in text
    for heading in ("Gallery", "Scores", "Largest clusters", "Training", "Recipe", "Skipped files"):
        assert heading in text
    assert "−3.25" in text
    assert "Not in the scored images: sky." in text


def test_hostile_names_stay_text(report: Report) -> None:
    page = render(report)
    parser = parse(page)
    assert HOSTILE not in "".join(parser.scripts)
    assert not [key for _, attrs in parser.seen for key in attrs if key.startswith("on")]
    assert HOSTILE in "".join(parser.text)
    alts = [present(attrs["aria-label"]) for _, attrs in parser.seen if "data-view" in attrs]
    assert HOSTILE in [alt.split(": ")[0] for alt in alts]


def test_the_policy_allows_the_pages_own_scripts_alone(report: Report) -> None:
    parser = parse(render(report))
    policy = next(a["content"] for _, a in parser.seen if a.get("http-equiv"))
    allowed = present(policy).partition("; script-src ")[2].split()
    data, *scripts = parser.scripts
    assert json.loads(data)["classes"]["1"][1] == HOSTILE  # a block of data, which nothing runs
    digests = [hashlib.sha256(script.encode()).digest() for script in scripts]
    assert allowed == [f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests]


def test_page_refers_to_nothing_outside(report: Report) -> None:
    page = render(report)
    assert not re.search(r"https?://|@import|url\((?!#)", page)
    for tag, attrs in parse(page).seen:
        assert tag not in {"link", "iframe", "object", "base"}
        assert present(attrs.get("src", "data:image/")).startswith("data:image/")
        start = "data:image/" if tag == "image" else "#"
        assert present(attrs.get("href", start)).startswith(start)


def test_links_lead_to_sections(report: Report) -> None:
    seen = parse(render(report)).seen
    anchors = {attrs["id"] for tag, attrs in seen if tag == "section"}
    assert {present(attrs["href"])[1:] for tag, attrs in seen if tag == "a"} == anchors


def test_classes_are_sorted_by_iou(report: Report) -> None:
    text = words(render(report))
    table = text[text.index("overlap with the label") :]
    assert table.index("75.0\u202f%") < table.index("50.0\u202f%")


def test_empty_parts_name_the_command() -> None:
    text = words(render(Report("Empty", {}, {}, {}, [], None, [], [], [])))
    for command in ("raynef train", "raynef evaluate", "raynef report"):
        assert command in text
    assert "Skipped" not in text


def test_images_without_labels(report: Report) -> None:
    bare = [dataclasses.replace(item, classes=None, label=None) for item in report.gallery]
    text = words(render(dataclasses.replace(report, gallery=bare, evaluation=None)))
    assert "No label files. raynef evaluate adds classes and labels." in text
    assert "what a person drew" not in text


def test_one_item_may_lack_what_others_have(report: Report) -> None:
    mixed = [report.gallery[0], dataclasses.replace(report.gallery[1], label=None, classes=None)]
    parse(render(dataclasses.replace(report, gallery=mixed)))


def test_leaked_labels_are_told(report: Report) -> None:
    assert "Labels leaked" not in words(render(report))
    leaked = dataclasses.replace(report, recipe={"train": {"leak_labels": True}})
    text = words(render(leaked))
    assert "Labels leaked" in text
    assert "not to train" not in text


def test_scores_after_a_crf_and_on_other_data(report: Report) -> None:
    assert "after CRF" not in words(render(report))
    crf = dataclasses.replace(present(report.evaluation), crf_miou=0.6432, crf_accuracy=0.8123)
    other = Evaluation.from_json(
        {
            "miou": 0.2351,
            "accuracy": 0.5678,
            "num_images": 7,
            "protocol": "reco",
            "data": {"name": HOSTILE, "root": HOSTILE},
            "crf": None,
        }
    )
    text = words(render(dataclasses.replace(report, evaluation=crf, elsewhere=[other])))
    for phrase in ("64.3\u202f%", "81.2\u202f%", "On other data", "23.5\u202f%", HOSTILE):
        assert phrase in text


def test_labels_in_training_are_told_by_the_evaluation(report: Report) -> None:
    leaked = dataclasses.replace(present(report.evaluation), labels_leaked=True)
    assert "Labels leaked" in words(render(dataclasses.replace(report, evaluation=leaked)))
    supervised = dataclasses.replace(present(report.evaluation), supervised=True)
    text = words(render(dataclasses.replace(report, evaluation=supervised)))
    assert "Supervised: a linear layer was trained on labels" in text
    assert "not to train" not in text


def test_page_stays_small(report: Report) -> None:
    """Noise is what JPEG likes least: photographs are far smaller."""
    rng = np.random.default_rng(1)
    items = [an_item(f"{i}.jpg", rng, (480, 720)) for i in range(12)]
    patch = rng.integers(0, 256, (128, 128, 3), dtype=np.uint8)
    cards = [ClusterCard(i, 0.01, "cow", 0.5, (patch,) * 9) for i in range(24)]
    steps = [{"step": i, "epoch": i // 50, "loss": rng.normal()} for i in range(5000)]
    page = render(dataclasses.replace(report, gallery=items, clusters=cards, steps=steps))
    assert len(page.encode()) < 5_000_000
    widths = [int(attrs["width"] or 0) for tag, attrs in parse(page).seen if tag == "image"]
    assert max(widths) == 320


def test_a_report_is_the_same_each_time(report: Report) -> None:
    assert render(report) == render(report)


def test_wrong_values_are_named(report: Report) -> None:
    item = report.gallery[1]
    assert item.label is not None
    with pytest.raises(ValueError, match=r"plain.jpg.*label must be \[H, W\] = \[60, 90\]"):
        dataclasses.replace(item, label=item.label[:-1])
    with pytest.raises(ValueError, match=r"per_class_iou\['cow'\] must be a fraction"):
        dataclasses.replace(present(report.evaluation), per_class_iou={"cow": 50.0})


def test_an_evaluation_is_read_from_its_file() -> None:
    values = {"miou": 0.5, "crf": {"miou": 0.6}, "class_names": {"3": "cow"}, "data": None}
    found = Evaluation.from_json(values)
    assert found == Evaluation(miou=0.5, crf_miou=0.6, class_names={3: "cow"})
    assert found.data == ("?", "")


def test_jinja_is_imported_when_a_page_is_written() -> None:
    rooms = "raynef.report.page, raynef.report.sweep_page, raynef.report.spectral_page"
    source = f"import sys, {rooms}; print('jinja2' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True)
    assert found.stdout.strip() == "False", found.stderr
