"""The page for names, in headless Chromium: by its keys, beside others, on a phone, in the dark."""

import pytest

from raynef.models.names import NAMES, change_names, read_names
from tests import chromium
from tests.unit.web.pages import page_in, served

pytestmark = pytest.mark.skipif(chromium.why_not() is not None, reason=str(chromium.why_not()))


@pytest.fixture(scope="module")
def browser():
    with chromium.browser() as browser:
        yield browser


@pytest.fixture
def server(tmp_path):
    with served(page_in(tmp_path)) as server:
        yield server


@pytest.fixture
def open_page(browser, server):
    """Open the page in a window of its own; at the end nothing was wrong in any."""
    contexts, wrong = [], []

    def opened(**settings):
        contexts.append(browser.new_context(**settings))
        page = contexts[-1].new_page()
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("requestfailed", lambda request: wrong.append(request.url))
        page.goto(server.address)
        page.wait_for_selector("h1 small")
        return page

    yield opened
    for context in contexts:
        context.close()
    # Of a change that came too late, which is an answer of the server's as any other.
    assert [words for words in wrong if "status of 409" not in words] == []


def press(page, *keys):
    for key in keys:
        page.keyboard.press(key)


def look(page):
    """See at once what others named; by itself the page looks every two seconds."""
    page.evaluate("dispatchEvent(new Event('focus'))")


def saved(page):
    page.wait_for_selector("#saving", state="hidden")


def toast(page):
    return page.inner_text("#toast")


def test_a_proposal_is_marked_until_it_is_accepted(open_page, tmp_path):
    change_names(tmp_path, 8, dict.fromkeys(range(8), "cow"), source="a model")
    page = open_page()
    assert page.inner_text("#now") == "now: cow (by text: captions trained that model)"
    clusters = page.get_attribute("main", "data-clusters").split()
    press(page, "Enter")
    page.keyboard.type("cow")
    press(page, "Enter")
    saved(page)
    assert {int(k) for k in clusters}.isdisjoint(read_names(tmp_path, 8).sources)


def test_eight_clusters_are_named_by_a_few_keys(open_page, tmp_path):
    page = open_page()
    assert page.inner_text("h1").startswith("Group of 3 clusters")
    assert page.get_attribute("main", "data-clusters") == "2 3 4"
    assert page.locator("#crops .half").count() == 2
    assert page.locator("#crops img").count() == 20
    press(page, "g")
    assert "No neighbor has a name yet" in toast(page)
    press(page, "x")
    assert "Letters are keys here" in toast(page)
    press(page, "k", "Enter", *"grass", "Enter")  # cluster 2
    assert page.get_attribute("main", "data-clusters") == "3 4"
    assert page.inner_text('[data-key="g"] span') == "Same as its neighbor: grass"
    press(page, "g")
    assert page.inner_text("#near button >> nth=0").startswith("grass")
    press(page, "n", "k")  # clusters 5, 6 and 7
    assert page.inner_text("h1").startswith("Cluster 0")
    assert page.locator("#crops img").count() == 12 + 4 + 4
    page.wait_for_function(
        "() => [...document.querySelectorAll('#crops img')].every((one) => one.naturalWidth > 0)"
    )
    press(page, "Enter", "g", "r")
    assert page.input_value("#name") == "grass"  # completed
    press(page, "Backspace", *"ound", "Enter")
    press(page, "1")  # cluster 1: the first name that was given
    assert "Every cluster has a name" in toast(page)
    assert page.inner_text("#named") == "100 %"
    press(page, "Control+z", "u")
    assert page.inner_text("#named") == "95.0 %"
    assert "0 left, 1 unsure" in page.inner_text("#left")
    saved(page)
    expected = {0: "ground", 1: "unsure", 2: "grass", 3: "grass", 4: "grass"}
    assert read_names(tmp_path, 8).names == {**expected, **dict.fromkeys((5, 6, 7), "noise")}


@pytest.mark.slow
def test_steps_are_taken_back_and_others_looked_at(open_page, tmp_path):
    page = open_page()
    press(page, "k", "k", "Enter", *"sky", "Enter", "Control+z", "Control+z")
    assert page.get_attribute("main", "data-clusters") == "2 3 4"
    press(page, "Control+z")
    assert "nothing to take back" in toast(page)
    press(page, "ArrowLeft")
    assert page.get_attribute("main", "data-clusters") == "0 1"
    press(page, "ArrowRight", "Enter", "a", "Escape", "u", "ArrowLeft", "Delete")
    saved(page)
    assert read_names(tmp_path, 8).names == {}
    press(page, "Enter", "x", "Control+z")  # of the letter, in the box
    assert page.get_attribute("main", "data-clusters") == "2 3 4"
    press(page, "Escape", "ArrowLeft")
    page.click("#map rect >> nth=1")
    assert page.get_attribute("main", "data-clusters") == "6 5 7"


@pytest.mark.slow
def test_others_may_name_at_the_same_time(open_page, tmp_path):
    one, other = open_page(), open_page()
    press(one, "Enter", *"grass", "Enter")
    saved(one)
    look(other)
    other.wait_for_selector("text=3 clusters were named elsewhere")
    assert other.get_attribute("main", "data-clusters") == "2 3 4"  # it does not move on by itself
    assert other.inner_text("#now") == "now: grass"
    press(other, "ArrowRight")
    change_names(tmp_path, 8, {6: "cow"})  # in the instant before a name of the whole group
    press(other, "n")
    other.wait_for_selector("text=Not saved: cluster 6 was named 'cow' by somebody else meanwhile")
    assert other.get_attribute("main", "data-clusters") == "6"
    expected = {2: "grass", 3: "grass", 4: "grass", 6: "cow"}
    assert read_names(tmp_path, 8).names == expected
    table = tmp_path / NAMES
    table.write_text(table.read_text().replace("cow", "<b>sheep</b>"))  # by hand
    one.click("#map rect >> nth=-1")
    press(one, "u")
    saved(one)
    assert read_names(tmp_path, 8).names == {
        **expected,
        6: "<b>sheep</b>",
        0: "unsure",
        1: "unsure",
    }
    look(one)
    one.wait_for_selector("#known >> text=<b>sheep</b>")
    table.write_text("x\ty\n")
    look(one)
    one.wait_for_selector("#banner >> text=line 1: expected cluster_id")
    table.unlink()
    look(one)
    one.wait_for_selector("#banner", state="hidden")


def test_a_phone_and_the_dark(open_page, tmp_path):
    light = open_page(viewport={"width": 1280, "height": 800}, color_scheme="light")
    phone = open_page(
        viewport={"width": 360, "height": 740}, color_scheme="dark", has_touch=True, is_mobile=True
    )
    ground = "getComputedStyle(document.body).backgroundColor.match(/[0-9]+/g).map(Number)"
    grounds = [page.evaluate(ground) for page in (light, phone)]
    assert min(grounds[0]) > 240
    assert max(grounds[1]) < 40
    for page, width in ((light, 1280), (phone, 360)):
        assert page.evaluate("document.documentElement.scrollWidth") == width
    phone.tap("#actions [data-key=k]")
    phone.tap("#name")
    phone.keyboard.type("sky")
    phone.tap("#form button")
    phone.tap("#known button")
    saved(phone)
    assert read_names(tmp_path, 8).names == {2: "sky", 3: "sky", 4: "sky"}
    assert phone.evaluate("document.documentElement.scrollWidth") == 360


@pytest.mark.slow
def test_without_a_tree_clusters_stand_alone(open_page, browser, tmp_path):
    folder = tmp_path / "alone"
    folder.mkdir()
    with served(page_in(folder, with_tree=False)) as server:
        page = browser.new_page()
        page.goto(server.address)
        page.wait_for_selector("h1 small")
        assert page.inner_text("h1").startswith("Cluster 0")
        press(page, "Enter", *"sky", "Enter", "k", "g")
        assert "single cluster" in toast(page)
        saved(page)
        assert page.locator("#near").is_hidden()
        page.close()
    assert read_names(folder, 8).names == {0: "sky", 2: "sky"}


@pytest.mark.slow
def test_that_the_server_ended_is_said(browser, tmp_path):
    with served(page_in(tmp_path)) as server:
        page = browser.new_page()
        page.goto(server.address)
        page.wait_for_selector("h1 small")
        page.route("**/*", lambda route: route.abort())
        press(page, "n")
        page.wait_for_selector("#toast >> text=Not saved: raynef name does not answer")
        look(page)
        page.wait_for_selector("#banner >> text=raynef name does not answer")
        assert page.get_attribute("main", "data-clusters") == "2 3 4"  # it is asked for again
        assert page.inner_text("#named") == "0 %"
        press(page, "Control+z")  # the name that was refused is no step
        assert "nothing to take back" in toast(page)
        page.unroute_all()
        press(page, "n")
        assert page.inner_text("#named") != "0 %"
        press(page, "Enter", *'a "b', "Enter")
        page.wait_for_selector("#toast >> text=a name has at most 200 characters")
        page.close()
