"""The server of the page for names, through HTTP: who is let in, and what is made of a change."""

import http.client
import json
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from raynef.core.errors import UserError
from raynef.models.names import HISTORY, NAMES, change_names, read_names
from raynef.web.naming_server import MOST_BYTES, LoopbackServer
from tests.unit.web.pages import SIZES, page_in, served


@pytest.fixture
def server(tmp_path):
    with served(page_in(tmp_path)) as server:
        yield server


def ask(
    server: LoopbackServer,
    path: str,
    body: bytes | None = None,
    *,
    token: str | None = None,
    method: str | None = None,
    **headers: str,
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of an answer."""
    port = server.server_address[1]
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if body is not None:
        sent = {"Content-Type": "application/json", **sent}
    whole = f"/{server.token if token is None else token}/{path}"
    connection.request(method or ("GET" if body is None else "POST"), whole, body, sent)
    reply = connection.getresponse()
    found = reply.status, {k.lower(): v for k, v in reply.getheaders()}, reply.read()
    connection.close()
    return found


def change(server: LoopbackServer, changes: Any, seen: Any, **headers: str) -> tuple[int, Any]:
    """Status and value of the answer to a change."""
    body = json.dumps({"changes": changes, "seen": seen}).encode()
    status, _, answer = ask(server, "names.json", body, **headers)
    return status, json.loads(answer)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("", "text/html"),
        ("page.css", "text/css"),
        ("page.js", "text/javascript"),
        ("tree.js", "text/javascript"),
        ("clusters.json", "application/json"),
        ("names.json", "application/json"),
        ("crops/0-typical-11.jpg", "image/jpeg"),
    ],
)
def test_the_page_is_there_for_who_has_the_token(server, path, kind):
    status, headers, body = ask(server, path)
    assert (status, headers["content-type"].partition(";")[0]) == (200, kind)
    assert len(body) > 10
    assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'")
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert ask(server, path, token="")[0] == 403
    assert ask(server, path, token=server.token[:-1])[0] == 403
    assert ask(server, path, token="\N{LATIN SMALL LETTER E WITH ACUTE}".encode().hex())[0] == 403


def test_the_page_makes_no_markup_of_text_and_asks_no_other_site(server):
    for path in ("", "page.css", "page.js", "draw.js", "names.js", "tree.js"):
        text = ask(server, path)[2].decode().replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"//[a-z]+\.|innerHTML|outerHTML|insertAdjacent|eval\(", text)


def test_tokens_are_random(tmp_path):
    page = page_in(tmp_path)
    with LoopbackServer(page.get, page.post) as one, LoopbackServer(page.get, page.post) as other:
        assert one.token != other.token
        assert len(one.token) >= 32
        assert one.server_address[0] == "127.0.0.1"
        assert one.address == f"http://127.0.0.1:{one.server_address[1]}/{one.token}/"
        port = one.server_address[1]
        with pytest.raises(UserError, match=f"port {port} of 127.0.0.1 cannot be used: .*in use"):
            LoopbackServer(page.get, page.post, port=port)
    with pytest.raises(UserError, match="port 99999 of"):
        LoopbackServer(page.get, page.post, port=99999)


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "[::1]", "", "evil:80"])
def test_no_other_name_leads_here(server, host):
    assert ask(server, "names.json", Host=host)[0] == 403
    assert change(server, {"0": "x"}, {"0": None}, Host=host)[0] == 403
    assert ask(server, "names.json", Host="localhost:1234")[0] == 200  # through a tunnel


def test_another_sites_page_changes_nothing(server, tmp_path):
    status, answer = change(server, {"0": "x"}, {"0": None}, Origin="http://evil.example")
    assert (status, answer) == (403, {"error": "a change by a page of another origin"})
    assert change(server, {"0": "x"}, {"0": None}, Origin="null")[0] == 403
    text = json.dumps({"changes": {"0": "x"}, "seen": {"0": None}}).encode()
    assert ask(server, "names.json", text, Content_Type="text/plain")[0] == 415
    assert ask(server, "names.json", text, method="PUT")[0] == 501
    assert ask(server, "names.json", method="OPTIONS")[0] == 501
    assert not (tmp_path / NAMES).exists()
    own = server.address.partition("/" + server.token)[0]
    assert change(server, {"0": "x"}, {"0": None}, Origin=own)[0] == 200


@pytest.mark.parametrize(
    "path",
    ["x", "../page.html", "%2e%2e/page.html", "crops/../index.json", "crops/7-typical-0.jpg",
     "crops/0-typical-99.jpg", "crops/0-odd-0.jpg", "page.html", "crops/%2fetc%2fpasswd"],
)  # fmt: skip
def test_nothing_else_is_there(server, path):
    assert ask(server, path)[0] == 404
    assert ask(server, path, b"{}")[0] == 404


def test_proposals_are_told_apart_until_a_person_names_their_clusters(server, tmp_path):
    change_names(tmp_path, 8, {0: "sky", 1: "cow"}, source="a model")
    assert json.loads(ask(server, "names.json")[2])["by_text"] == [0, 1]
    assert change(server, {"0": "sky"}, {"0": "sky"})[1]["by_text"] == [1]


def test_a_change_is_kept_and_what_it_did_not_see_is_refused(server, tmp_path):
    assert change(server, {"0": "sky", "1": "sky"}, {"0": None, "1": None}) == (
        200,
        {"names": {"0": "sky", "1": "sky"}, "by_text": []},
    )
    with (tmp_path / NAMES).open("a") as table:  # by hand meanwhile
        table.write("2\tcow\t#aa0000\n")
    assert json.loads(ask(server, "names.json")[2])["names"]["2"] == "cow"
    status, answer = change(server, {"2": "grass", "3": "grass"}, {"2": None, "3": None})
    assert status == 409
    assert "cluster 2 was named 'cow' by somebody else" in answer["error"]
    assert answer["names"] == {"0": "sky", "1": "sky", "2": "cow"}
    assert change(server, {"3": "cow"}, {"3": None})[0] == 200
    undone, answer = change(server, {"0": None, "1": None}, {"0": "sky", "1": "sky"})
    assert (undone, answer["names"]) == (200, {"2": "cow", "3": "cow"})
    assert "3\tcow\t#aa0000" in (tmp_path / NAMES).read_text()
    assert len((tmp_path / HISTORY).read_text().splitlines()) == 5


def test_many_at_once_lose_nothing(server, tmp_path):
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda k: change(server, {k: f"name {k}"}, {k: None}), "01234567"))
    assert [status for status, _ in replies] == [200] * 8
    assert read_names(tmp_path, 8).names == {k: f"name {k}" for k in range(8)}
    with ThreadPoolExecutor(8) as pool:  # of one and the same, one wins and the others are told
        replies = list(pool.map(lambda k: change(server, {"0": k}, {"0": "name 0"}), "abcdefgh"))
    assert sorted(status for status, _ in replies) == [200] + [409] * 7


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "changes must be an object"),
        (b'{"changes": {"0": "x"}}', "seen must be an object"),
        (b'{"changes": {}, "seen": {}}', "one at least"),
        (b'{"changes": {"0": "x"}, "seen": {"1": null}}', "the same clusters"),
        (b'{"changes": {"0": 3}, "seen": {"0": null}}', "a name is a text or null, got 3"),
        (b'{"changes": {"-1": "x"}, "seen": {"-1": null}}', "a cluster is a number, got '-1'"),
        (b'{"changes": {"8": "x"}, "seen": {"8": null}}', "there is no cluster 8"),
        (b'{"changes": {"0": "a\\tb"}, "seen": {"0": null}}', "a name has at most 200 characters"),
    ],
)
def test_what_is_no_change_is_said(server, tmp_path, body, words):
    status, _, answer = ask(server, "names.json", body)
    assert status == 400
    assert words in json.loads(answer)["error"]
    assert not (tmp_path / NAMES).exists()
    assert ask(server, "names.json")[0] == 200


def test_a_body_has_its_limit(server):
    assert ask(server, "names.json", b" " * 10, Content_Length=str(MOST_BYTES + 1))[0] == 413
    assert ask(server, "names.json", b" ", Content_Length="-5")[0] == 411


def test_a_table_that_was_spoiled_is_said_and_left(server, tmp_path):
    spoiled = "cluster_id\tname\nx\tcow\n"
    (tmp_path / NAMES).write_text(spoiled)
    assert "line 2: expected" in json.loads(ask(server, "names.json")[2])["error"]
    status, answer = change(server, {"0": "x"}, {"0": None})
    assert (status, "line 2: expected" in answer["error"]) == (400, True)
    assert (tmp_path / NAMES).read_text() == spoiled
    assert ask(server, "clusters.json")[0] == 200


def test_clusters_come_by_unnamed_area_and_neighbors_together(tmp_path):
    page = page_in(tmp_path)
    about = page.clusters()
    assert about["order"] == [2, 3, 4, 6, 5, 7, 0, 1]  # 40 and 15 %, then 45
    assert about["shares"] == pytest.approx((SIZES / 100).tolist())
    assert about["groups"] == 3
    grass = dict.fromkeys("234", "grass")
    with served(page) as server:
        assert change(server, grass, dict.fromkeys(grass))[0] == 200
    assert page.clusters()["order"] == [0, 1, 6, 5, 7, 2, 3, 4]
    alone = page_in(tmp_path, with_tree=False, cut=None).clusters()
    assert (alone["order"][:3], alone["merges"]) == ([0, 6, 1], [])
