"""What the service answers: to images as predict does, to everything else with the reason."""

import json
import re
import runpy
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from raynef.assign.tree import ClusterTree
from raynef.eigen.psi import AttentionPsi
from raynef.features.backbone import NUM_TAPS, load_backbone
from raynef.jobs.predict import Options, predict
from raynef.models.segmenter import Mapping, Segmenter
from raynef.web.answers import Meaning
from raynef.web.guard import Limits
from raynef.web.serve_app import accepted, application
from raynef.web.served import Lanes, Seen
from tests.malformed import NUM_KINDS, attack, bomb
from tests.places import ROOT
from tests.serving import PHOTO, Here, ask, encoded, form, served

pytestmark = pytest.mark.usefixtures("without_ray")
MAPPING = Mapping((1, 0, -1, 1, 0, 1, -1, 0, 0, 1, 1, 0), ("sky", "road"))
TREE = ClusterTree(
    np.arange(12), np.array([(0, 1), *((n, n + 10) for n in range(2, 12))]), np.linspace(0, 1, 11)
)


@pytest.fixture(scope="module")
def segmenter(recipe) -> Segmenter:
    backbone = load_backbone(recipe.backbone)
    psi = AttentionPsi(NUM_TAPS * backbone.dim, 12, num_blocks=1).plain()
    config = recipe.backbone
    return Segmenter(
        backbone, psi, backbone_config=config, short_side=64, mapping=MAPPING, tree=TREE
    )


@pytest.fixture(scope="module")
def photo(sample) -> bytes:
    """70×50 pixels, which EXIF turns upright: 50×70."""
    with Image.open(sample / "images" / "val_00000.jpg") as image:
        pixels = np.asarray(image.resize((70, 50)))
    turned = Image.Exif()
    turned[0x0112] = 6
    return encoded(pixels, "JPEG", exif=turned)


@pytest.fixture(scope="module")
def backend(segmenter) -> Here:
    return Here(segmenter)


@pytest.fixture(scope="module")
def port(backend, segmenter):
    limits = Limits(body_bytes=300_000, concurrent=4, body_s=0.5, answer_s=5)
    with served(application(backend, Meaning.of(segmenter), limits)) as port:
        yield port


@pytest.fixture(scope="module")
def predicted(segmenter, photo, tmp_path_factory):
    """What raynef predict writes of the photograph: as it is, and cut into three groups."""
    folder = tmp_path_factory.mktemp("predicted")
    segmenter.save(folder / "run" / "segmenter")
    (folder / "a.jpg").write_bytes(photo)
    predict(folder / "run", folder / "a.jpg", folder / "whole")
    predict(folder / "run", folder / "a.jpg", folder / "cut", options=Options(cut=3))
    return folder


# ------------------------------------------------------------------------------------- images


@pytest.mark.parametrize(
    ("query", "file", "labels"),
    [
        ("", "whole/classes/a.png", "classes"),
        ("?labels=clusters", "whole/clusters/a.png", "clusters"),
        ("?cut=3", "cut/clusters/a.png", "clusters"),
        ("?cut=3&labels=classes", "cut/classes/a.png", "classes"),
    ],
)
def test_pngs_are_those_of_predict_to_the_byte(port, photo, predicted, query, file, labels):
    reply = ask(port, f"/predict{query}", photo, {"Content-Type": "image/jpeg"})
    assert (reply.status, reply.headers["Content-Type"]) == (200, "image/png")
    assert reply.headers["X-Raynef-Labels"] == labels
    assert reply.body == (predicted / file).read_bytes()
    assert reply.image().size == (50, 70)


@pytest.mark.parametrize(
    ("query", "folder", "map_of"),
    [("", "whole", "classes"), ("&cut=3", "cut", "clusters")],
)
def test_json_has_each_segment_with_its_mask(port, photo, predicted, query, folder, map_of):
    body, headers = form(image=photo)
    reply = ask(port, f"/predict?format=json{query}", body, headers)
    assert reply.headers["Content-Type"] == "application/json"
    answer = reply.json
    assert (answer["width"], answer["height"], answer["labels"]) == (50, 70, map_of)
    with Image.open(predicted / folder / map_of / "a.png") as image:
        expected = np.asarray(image)
    entries = json.loads((predicted / folder / "legend.json").read_text())[map_of]
    found = np.full(expected.shape, 255)
    for segment in answer["segments"]:
        size, counts = segment["segmentation"]["size"], segment["segmentation"]["counts"]
        mask = np.repeat(np.arange(len(counts)) % 2, counts).reshape(size, order="F") == 1
        assert segment["area"] == mask.sum() == round(segment["share"] * 3500)
        found[mask] = segment["id"]
        entry = entries[segment["id"]]
        assert (segment["color"], segment["name"]) == (entry["color"], entry.get("name"))
    np.testing.assert_array_equal(found, expected)
    areas = [segment["area"] for segment in answer["segments"]]
    assert areas == sorted(areas, reverse=True)
    assert len(areas) > 1


def test_the_example_of_the_page_saves_the_largest_mask(port, photo, tmp_path, monkeypatch):
    (tmp_path / "a.jpg").write_bytes(photo)
    words = [f"http://127.0.0.1:{port}", str(tmp_path / "a.jpg"), str(tmp_path / "mask.png")]
    monkeypatch.setattr(sys, "argv", ["serve_example.py", *words])
    runpy.run_path(str(ROOT / "docs" / "serve_example.py"))
    largest = ask(port, "/predict?format=json", photo, PHOTO).json["segments"][0]
    with Image.open(tmp_path / "mask.png") as mask:
        assert mask.size == (50, 70)
        assert np.asarray(mask).sum() == largest["area"]


def test_json_without_masks_is_short(port, photo):
    long, short = (
        ask(port, f"/predict?labels=clusters&masks={masks}", photo, PHOTO | JSON).json["segments"]
        for masks in ("true", "false")
    )
    assert [{**segment, "segmentation": 0} for segment in short] == [
        {**segment, "segmentation": 0} for segment in long
    ]
    assert [segment["name"] for segment in long] == [
        [*MAPPING.class_names, None][MAPPING.classes[segment["id"]]] for segment in long
    ]


JSON = {"Accept": "application/json"}


@pytest.mark.parametrize(
    ("accept", "format"),
    [
        ("", "png"),
        ("*/*", "png"),
        ("application/json", "json"),
        ("image/png, application/json;q=0.9", "png"),
        ("image/png;q=0.1, application/json", "json"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "png"),
        ("text/html", None),
        ("image/png;q=0", None),
        ("application/json;q=x", "json"),
    ],
)
def test_the_accept_header_picks_the_format(accept, format):
    assert accepted(accept) == format


def test_images_of_a_batch_are_segmented_as_alone(segmenter):
    """Lanes share a backbone: hooks that hear one another's images would mix them up."""
    draws = np.random.default_rng(0)
    images = [draws.integers(0, 256, (64, 64 + 16 * (n % 3), 3), np.uint8) for n in range(9)]
    batch = [Seen(image, (40 + n, 50)) for n, image in enumerate(images)]
    alone = [segmenter.clusters(seen.pixels[None], seen.size)[0] for seen in batch]
    lanes = Lanes(segmenter, threads=3, most=4)
    for _ in range(5):
        found = lanes(batch)
        assert [one.batch_size for one in found] == [9] * 9
        for one, expected in zip(found, alone, strict=True):
            np.testing.assert_array_equal(one.clusters, expected)


def test_an_image_that_fails_takes_no_other_along(segmenter, caplog):
    good = Seen(np.zeros((64, 64, 3), np.uint8), (9, 9))
    bad = Seen(np.zeros((64, 64, 7), np.uint8), (9, 9))
    found = Lanes(segmenter, threads=2, most=4)([good, bad, good])
    assert [one.clusters is None for one in found] == [False, True, False]
    assert "could not be segmented" in caplog.text


# ----------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("query", "body", "kind", "status", "reason"),
    [
        ("", b"no image", "image/png", 422, "the image cannot be read: not an image"),
        ("", b"", "image/png", 400, "the image is empty"),
        ("", b"x", "application/x-www-form-urlencoded", 415, "Content-Type must be image/…"),
        ("", b"x" * 300_001, "image/png", 413, "the body has more than 300000 bytes"),
        ("", bomb(400), "image/png", 413, "400 x 400 pixels, at most 100000"),
        ("", bomb(60_000), "image/png", 413, "too large"),
        ("", bomb(200), "image/png", 422, "damaged"),
        ("", b"--edge--", "multipart/form-data; boundary=edge", 400, "one file"),
        ("", b"x", "multipart/form-data", 400, "the form cannot be read"),
        ("?cut=13", b"x", "image/png", 422, "cut must be 1 to 12, got 13"),
        ("?cut=x", b"x", "image/png", 422, "cut: Input should be a valid integer"),
        ("?format=gif", b"x", "image/png", 422, "format: Input should be 'png' or 'json'"),
    ],
)
def test_what_cannot_be_answered_is_refused_with_the_reason(
    port, query, body, kind, status, reason
):
    reply = ask(port, f"/predict{query}", body, {"Content-Type": kind})
    assert reply.status == status
    assert reason in reply.error


def test_two_files_in_a_form_are_refused(port, photo):
    reply = ask(port, "/predict", *form(one=photo, two=photo))
    assert reply.status == 400


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nothing", 404), ("GET", "/predict", 405), ("POST", "/healthz", 405)],
)
def test_other_paths_and_methods(port, method, path, status):
    reply = ask(port, path, method=method)
    assert reply.status == status
    assert reply.error


def test_neither_format_is_accepted(port, photo):
    assert ask(port, "/predict", photo, PHOTO | {"Accept": "text/html"}).status == 406


def test_without_names_and_tree_nothing_asks_for_them(recipe, segmenter, photo):
    plain = Segmenter(
        segmenter.backbone, segmenter.head, backbone_config=recipe.backbone, short_side=64
    )
    with served(application(Here(plain), Meaning.of(plain))) as port:
        assert ask(port, "/predict", photo, PHOTO).headers["X-Raynef-Labels"] == "clusters"
        assert "no names" in ask(port, "/predict?labels=classes", photo, PHOTO).error
        assert "no tree" in ask(port, "/predict?cut=3", photo, PHOTO).error
        assert set(ask(port, "/legend").json) == {"clusters"}


# ------------------------------------------------------------------------- limits and the token


def test_more_at_once_than_are_taken_are_told_to_come_again(port, backend, photo):
    backend.held.clear()
    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(ask, port, "/predict", photo, PHOTO) for _ in range(4)]
        until(lambda: in_flight(port) == 4)
        refused = ask(port, "/predict", photo, PHOTO)
        assert ask(port, "/healthz").status == 200
        backend.held.set()
        assert [one.result().status for one in waiting] == [200] * 4
    assert (refused.status, refused.headers["Retry-After"]) == (503, "1")
    until(lambda: in_flight(port) == 0)


def test_a_client_that_leaves_is_worked_for_no_more(port, backend, photo):
    before = backend.canceled
    backend.held.clear()
    with socket.create_connection(("127.0.0.1", port)) as connection:
        head = f"POST /predict HTTP/1.1\r\nHost: here\r\nContent-Length: {len(photo)}\r\n"
        connection.sendall(f"{head}Content-Type: image/jpeg\r\n\r\n".encode() + photo)
        until(lambda: in_flight(port) == 1)
    until(lambda: backend.canceled == before + 1)
    backend.held.set()
    assert in_flight(port) == 0


def test_a_body_that_comes_too_slowly_and_an_answer_that_takes_too_long(segmenter, photo):
    backend = Here(segmenter)
    limits = Limits(body_s=0.1, answer_s=0.1)
    with served(application(backend, Meaning.of(segmenter), limits)) as port:
        backend.held.clear()
        assert ask(port, "/predict", photo, PHOTO).status == 504
        until(lambda: backend.canceled == 1)
        slow = ask(port, "/predict", photo, PHOTO | {"Content-Length": str(len(photo) + 1)})
        assert slow.status == 408


def test_a_body_in_pieces_counts_to_its_end(port):
    pieces = (b"x" * 60_000 for _ in range(6))
    assert ask(port, "/predict", pieces, PHOTO).status == 413


def test_the_token_comes_first(segmenter, backend, photo):
    token = "0123456789abcdef"
    right = {"Authorization": f"Bearer {token}"}
    with served(application(backend, Meaning.of(segmenter), token=token)) as port:
        for path in ("/predict", "/legend", "/metrics", "/nothing"):
            for wrong in ({}, {"Authorization": f"Bearer {token}x"}, {"Authorization": "Bearer é"}):
                reply = ask(port, path, headers=wrong)
                assert (reply.status, reply.headers["WWW-Authenticate"]) == (401, "Bearer")
        assert ask(port, "/predict", b"x" * 99, PHOTO).status == 401
        assert ask(port, "/predict", photo, PHOTO | right).status == 200
        assert ask(port, "/nothing", headers=right).status == 404
        for path in ("/healthz", "/docs", "/openapi.json"):
            assert ask(port, path).status == 200
        counted = ask(port, "/metrics", headers=right).body.decode()
    assert 'raynef_serve_requests_total{path="/predict",status="401"} 4.0' in counted
    assert token not in counted


# --------------------------------------------------------------------- health, metrics, pages


def test_health_is_that_of_the_segmenter(port, backend):
    backend.down = "no replica of the segmenter answers"
    try:
        reply = ask(port, "/healthz")
    finally:
        backend.down = None
    assert (reply.status, reply.error) == (503, "no replica of the segmenter answers")
    assert ask(port, "/healthz").json == {"status": "ok"}


def test_metrics_count_images_and_statuses(segmenter, backend, photo):
    with served(application(backend, Meaning.of(segmenter))) as port:
        for body in (photo, photo, b"no image"):
            ask(port, "/predict", body, PHOTO)
        ask(port, "/any/path")
        counted = ask(port, "/metrics").body.decode()
    assert 'raynef_serve_requests_total{path="/predict",status="200"} 2.0' in counted
    assert 'raynef_serve_requests_total{path="/predict",status="422"} 1.0' in counted
    assert 'raynef_serve_requests_total{path="other",status="404"} 1.0' in counted
    assert "raynef_serve_seconds_count 2.0" in counted
    assert "raynef_serve_batch_size_sum 2.0" in counted


def test_the_legend_is_that_of_predict(port, predicted):
    for query, folder in (("", "whole"), ("?cut=3", "cut")):
        expected = json.loads((predicted / folder / "legend.json").read_text())
        assert ask(port, f"/legend{query}").json == expected


def test_the_page_describes_every_path_and_loads_nothing(port):
    described = ask(port, "/openapi.json").json
    assert set(described["paths"]) == {"/predict", "/legend", "/healthz", "/metrics"}
    asked = described["paths"]["/predict"]["post"]
    assert set(asked["requestBody"]["content"]) == {"image/*", "multipart/form-data"}
    assert {"200", "401", "413", "415", "422", "503"} <= set(asked["responses"])
    text = ask(port, "/docs").body.decode()
    for path in described["paths"]:
        assert f"{path}</code>" in text
    assert "default-src 'none'" in text
    assert not re.search(r"https?://|src=|@import|<script", text)
    redirect = ask(port, "/")
    assert (redirect.status, redirect.headers["Location"]) == (307, "docs")


# ----------------------------------------------------------------------------------- malformed


def test_hundreds_of_malformed_requests_leave_it_healthy(port, photo):
    with ThreadPoolExecutor(4) as pool:
        statuses = list(pool.map(lambda n: attack(port, n, photo), range(20 * NUM_KINDS)))
    assert not {status for status in statuses if status and status >= 500 and status != 503}
    assert {None, 400, 413, 415, 422} <= set(statuses)
    until(lambda: in_flight(port) == 0)
    assert ask(port, "/predict", photo, PHOTO).status == 200


def in_flight(port: int) -> int:
    found = re.search(r"^raynef_serve_in_flight (\S+)$", ask(port, "/metrics").body.decode(), re.M)
    assert found is not None
    return int(float(found[1]))


def until(holds, *, seconds: float = 30.0) -> None:
    """Wait for it."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)
