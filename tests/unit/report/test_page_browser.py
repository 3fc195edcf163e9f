"""The pages in headless Chromium: large pictures, what is under the pointer, filters, keys."""

import dataclasses

import pytest

from raynef.report.page import render
from raynef.report.sweep_page import render_sweep
from tests import chromium
from tests.unit.report.pages import a_run, a_sweep

pytestmark = pytest.mark.skipif(chromium.why_not() is not None, reason=str(chromium.why_not()))

PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}


@pytest.fixture(scope="module")
def browser():
    with chromium.browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    pages = {
        "labeled": render(a_run()),
        "unlabeled": render(dataclasses.replace(a_run(labeled=False), cluster_names={})),
        "sweep": render_sweep(a_sweep()),
    }
    for name, text in pages.items():
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def open_page(browser, files):
    """Open a page in a window of its own; at the end nothing was wrong in any."""
    contexts, wrong = [], []

    def opened(name, *, permissions=(), **settings):
        contexts.append(browser.new_context(**settings))
        contexts[-1].grant_permissions(permissions)
        page = contexts[-1].new_page()
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on(
            "request", lambda sent: sent.url[:5] in ("file:", "data:") or wrong.append(sent.url)
        )
        page.goto((files / f"{name}.html").as_uri())
        return page

    yield opened
    for context in contexts:
        context.close()
    assert wrong == []


def point_at(page, selector, across, down):
    """Move the pointer to a part of an element, and return what the page tells there."""
    page.locator(selector).first.scroll_into_view_if_needed()
    box = page.locator(selector).first.bounding_box()
    page.mouse.move(box["x"] + across * box["width"], box["y"] + down * box["height"])
    page.wait_for_selector(".tip:not([hidden])")
    return page.inner_text(".tip")


def brightness(page, selector, across, down):
    """How much of a picture is left bright there, 0 to 255."""
    return 255 - page.evaluate(
        """([selector, across, down]) => {
          const canvas = document.querySelector(selector);
          const copy = new OffscreenCanvas(canvas.width, canvas.height);
          const context = copy.getContext("2d", { willReadFrequently: true });
          context.drawImage(canvas, 0, 0);
          const at = [across * canvas.width, down * canvas.height].map(Math.floor);
          return context.getImageData(...at, 1, 1).data[3];
        }""",
        [selector, across, down],
    )


def listed(page):
    return page.locator("#rows article:visible h3").evaluate_all(
        "found => found.map((one) => one.firstChild.textContent)"
    )


def test_the_page_tells_what_is_under_the_pointer(open_page):
    page = open_page("labeled")
    assert point_at(page, '[data-view="segments"]', 0.5, 0.2) == "cluster 0 · sky · labeled sky"
    assert point_at(page, '[data-view="image"]', 0.5, 0.8) == "cluster 1 · grass · labeled grass"
    assert point_at(page, '[data-view="label"]', 0.5, 0.996) == "cluster 1 · grass · not labeled"
    assert brightness(page, "figure:nth-child(4) canvas", 0.5, 0.996) == 255
    assert brightness(page, "figure:nth-child(4) canvas", 0.5, 0.2) < 255
    page.mouse.move(0, 0)
    assert page.locator(".tip").is_hidden()
    assert brightness(page, "figure:nth-child(4) canvas", 0.5, 0.2) == 255
    assert point_at(page, "article:nth-of-type(2) .open", 0.5, 0.8) == (
        "cluster 2 · grass · labeled sky"
    )


def test_a_picture_opens_large_and_keys_lead_on(open_page):
    page = open_page("labeled")
    page.click('.open [data-view="classes"]')
    assert page.inner_text("#large-name") == "a.jpg"
    assert page.inner_text('#large [aria-pressed="true"]') == "classes"
    assert page.locator("#large .keys button").all_inner_texts() == ["sky 50.0 %", "grass 50.0 %"]
    page.keyboard.press("ArrowUp")
    page.wait_for_selector("#large .keys >> text=1 grass")
    page.keyboard.press("ArrowRight")
    page.wait_for_selector("#large .keys >> text=2 grass")
    assert page.inner_text("#large-facts") == (
        "2 clusters · 50.6 % of labeled pixels right · mean IoU 50.6 %".replace(" %", "\u202f%")
    )
    page.focus("#large .keys li:nth-child(2) button")
    lit = [brightness(page, "#large canvas", 0.5, down) for down in (0.2, 0.8)]
    assert lit[0] < lit[1] == 255
    assert point_at(page, "#large .holder", 0.5, 0.2) == "cluster 0 · sky · labeled sky"
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")  # there are three
    assert page.inner_text("#large-name") == "c.jpg"
    page.keyboard.press("Escape")
    assert page.locator("#large").is_hidden()
    assert page.locator(".tip").is_hidden()
    page.keyboard.press("Enter")  # the picture that was shown last has the focus
    assert page.inner_text("#large-name") == "c.jpg"
    page.click("#large [data-close]")
    assert page.locator("#large").is_hidden()


def test_rows_are_filtered_by_name_and_cluster_and_sorted_by_error(open_page):
    page = open_page("labeled")
    assert listed(page) == ["a.jpg", "b.jpg", "c.jpg"]
    page.select_option("[name=order]", "iou")
    assert listed(page) == ["c.jpg", "b.jpg", "a.jpg"]
    page.select_option("[name=cluster]", "2")
    assert listed(page) == ["b.jpg"]
    assert page.inner_text(".filters output") == "1 of 3 images"
    page.click("text=Show all")
    assert listed(page) == ["a.jpg", "b.jpg", "c.jpg"]
    page.select_option("[name=name]", "grass")
    assert listed(page) == ["a.jpg", "b.jpg", "c.jpg"]  # in the last by its label
    page.click('.leaves a[data-cluster="3"]')
    assert page.input_value("[name=name]") == ""
    assert listed(page) == ["c.jpg"]
    page.focus(".open[aria-label^=c] >> nth=0")
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowLeft")  # hidden rows are not shown large
    assert page.inner_text("#large-name") == "c.jpg"


def test_clusters_without_names_or_labels(open_page):
    page = open_page("unlabeled")
    assert point_at(page, '[data-view="segments"]', 0.5, 0.2) == "cluster 0 · sky"  # its class
    assert page.locator("[name=order]").count() == 0
    assert page.locator('.chips[aria-label="clusters"] >> nth=0').inner_text().split() == ["0", "1"]


def test_a_command_is_copied_as_it_stands(open_page):
    page = open_page("labeled", permissions=["clipboard-read", "clipboard-write"])
    page.click(".copy")
    page.wait_for_selector("text=Copied")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == "raynef train --out 'my runs/photos'"


def test_values_of_charts_are_read_by_keys(open_page):
    page = open_page("sweep")
    page.focus(".parallel")
    page.keyboard.press("End")
    assert page.inner_text(".tip") == "α = 0, K = 128"  # the best is the last
    page.keyboard.press("Tab")
    assert page.locator(".tip").is_hidden()
    page.focus("#training .chart")
    page.keyboard.press("End")
    page.keyboard.press("ArrowLeft")
    assert page.inner_text(".tip").startswith("step 3\n")


def test_every_stop_of_the_tab_key_shows_its_focus(open_page):
    page = open_page("labeled")
    stops = page.evaluate(
        """() => {
          const all = [...document.querySelectorAll("a, button, select, summary, .chart")];
          const shown = all.filter((one) => one.checkVisibility() && one.tabIndex >= 0);
          return shown.length;
        }"""
    )
    styles = []
    for _ in range(stops):
        page.keyboard.press("Tab")
        styles.append(page.evaluate("getComputedStyle(document.activeElement).outlineStyle"))
    assert stops > 20
    assert styles == ["solid"] * stops
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement === document.body")


@pytest.mark.parametrize("name", ["labeled", "sweep"])
def test_a_phone_and_the_dark(open_page, name):
    light, phone = open_page(name), open_page(name, color_scheme="dark", **PHONE)
    ground = "getComputedStyle(document.body).backgroundColor.match(/[0-9]+/g).map(Number)"
    assert min(light.evaluate(ground)) > 240
    assert max(phone.evaluate(ground)) < 40
    assert phone.evaluate("document.documentElement.scrollWidth") == 360
    if name == "sweep":
        assert light.locator(".hint:visible").count() == 0
        assert phone.locator("#table .hint").is_visible()
        return
    phone.tap(".open")
    assert phone.inner_text("#large-name") == "a.jpg"
    phone.tap("#large .holder")
    phone.wait_for_selector(".tip:not([hidden])")
    assert phone.evaluate("document.documentElement.scrollWidth") == 360


def test_without_scripts_nothing_is_missing_that_can_be_read(open_page):
    page = open_page("labeled", java_script_enabled=False)
    for hidden in (".filters", ".copy", "#large"):
        assert page.locator(hidden).first.is_hidden()
    assert page.locator(".view:visible").count() == 12
    assert page.locator('[data-view="segments"] text >> nth=0').text_content() == "0"
    assert "raynef train" in page.inner_text("#commands")


def test_a_foreign_script_does_not_run(browser, files):
    page = browser.new_page()
    page.goto((files / "labeled.html").as_uri())
    page.evaluate("document.body.append(make('script', { textContent: 'window.ran = true' }))")
    assert page.evaluate("window.ran") is None
    page.close()
