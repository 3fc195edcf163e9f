"""From names that a person gives to classes in pictures."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from raynef.cli.commands import parse
from raynef.cli.name import Name
from raynef.core.errors import UserError
from raynef.jobs.export import description
from raynef.jobs.naming import name_clusters
from raynef.jobs.predict import predict
from raynef.models.segmenter import Mapping, Segmenter, save_mapping
from tests.known import a, present

pytestmark = pytest.mark.usefixtures("without_ray")


@pytest.fixture
def run(run_here, tmp_path):
    return Path(shutil.copytree(run_here[0] / "segmenter", tmp_path / "segmenter"))


def test_clusters_and_groups_are_named(run):
    tree = present(Segmenter.load(run).tree)
    result = name_clusters(run, {3: "sky"})
    assert result["names"] == {"3": "sky"}
    assert result["named"] == pytest.approx(tree.sizes[3] / tree.sizes.sum(), abs=1e-4)
    groups = tree.cut(4)
    result = name_clusters(run, {0: "grass"}, cut=4)
    members = np.flatnonzero(groups == 0).tolist()
    assert {int(k) for k, name in result["names"].items() if name == "grass"} == set(members)
    again = name_clusters(run, {})
    assert again == result
    assert name_clusters(run, dict.fromkeys(range(12), ""))["named"] == 0
    with pytest.raises(UserError, match="no group 4; there are 0 to 3"):
        name_clusters(run, {4: "x"}, cut=4)


def test_unsure_ones_count_as_not_named(run):
    assert name_clusters(run, {3: "sky"})["named"] > 0
    result = name_clusters(run, {3: "unsure"})
    assert (result["named"], result["names"]) == (0, {"3": "unsure"})


def test_naming_needs_no_torch(run):
    code = (
        "import sys\n"
        "from raynef.jobs.naming import name_clusters\n"
        f"assert name_clusters({str(run)!r}, {{0: 'sky'}})['names'] == {{'0': 'sky'}}\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_they_go_before_those_of_labels(run, sample, tmp_path):
    save_mapping(run, Mapping((0,) * 12, ("thing",)))
    name_clusters(run, {k: ("sky" if k < 6 else "ground") for k in range(11)})
    segmenter = Segmenter.load(run)
    photo = sample / "images" / "val_00000.jpg"
    found = segmenter(photo)
    assert found.class_names == ("sky", "ground")
    expected = np.where(found.clusters < 6, 0, np.where(found.clusters < 11, 1, -1))
    np.testing.assert_array_equal(present(found.classes), expected)
    predict(run, photo, tmp_path / "out")
    classes = np.asarray(Image.open(tmp_path / "out" / "classes" / "val_00000.png"))
    np.testing.assert_array_equal(classes, np.where(expected < 0, 255, expected))
    legend = json.loads((tmp_path / "out" / "legend.json").read_text())
    assert [entry["name"] for entry in legend["classes"]] == ["sky", "ground"]
    assert description(segmenter)["class_names"] == ["sky", "ground"]
    assert present(segmenter.mapping).class_names == ("thing",)  # which scores are of
    copy = Segmenter.load(segmenter.save(tmp_path / "copy"))
    assert copy.names == segmenter.names


def test_the_command_line():
    command = a(Name, parse(["name", "RUN", "3=sky", "17=tall grass", "4=", "--cut", "20"]))
    assert (command.names, command.cut) == (("3=sky", "17=tall grass", "4="), 20)
    for wrong in ("sky", "=sky", "x=sky", "-1=sky"):
        with pytest.raises(UserError, match="NUMBER=NAME"):
            a(
                Name,
                parse(["name", "RUN", "--", wrong] if wrong[0] == "-" else ["name", "RUN", wrong]),
            ).execute()


@pytest.mark.parametrize(
    ("arguments", "terminal", "opens"),
    [
        ([], True, True),
        ([], False, False),
        (["--list"], True, False),
        (["--cut", "4"], True, True),
        (["3=sky"], True, False),
        (["--no-browser"], False, True),
        (["--port", "8123"], False, True),
        (["--images", "photos"], False, True),
    ],
)
def test_the_page_opens_for_a_person(run, monkeypatch, arguments, terminal, opens):
    opened = []
    monkeypatch.setattr("raynef.web.naming.name_on_page", lambda *a, **k: opened.append(k) or {})
    monkeypatch.setattr(sys, "__stdout__", SimpleNamespace(isatty=lambda: terminal))
    result = a(Name, parse(["name", str(run), *arguments])).execute()
    assert bool(opened) == opens
    assert opens or a(dict, result)["num_clusters"] == 12
    if opens:
        assert opened[0]["browser"] == ("--no-browser" not in arguments)
        assert opened[0]["port"] == (8123 if "--port" in arguments else 0)
        assert opened[0]["cut"] == (4 if "--cut" in arguments else None)
