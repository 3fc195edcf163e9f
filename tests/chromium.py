"""A headless Chromium for tests of pages; the machine's own, else the one that playwright has."""

import contextlib
import importlib.util
import shutil
from collections.abc import Iterator
from typing import Any


def executable() -> str | None:
    """The machine's Chromium or Chrome, if it has one."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((found for name in names if (found := shutil.which(name))), None)


def why_not() -> str | None:
    """Why no page can be tested here; None where one can."""
    if importlib.util.find_spec("playwright") is None:
        return "playwright is not installed"
    return None if executable() else "there is no Chromium"


@contextlib.contextmanager
def browser() -> Iterator[Any]:
    """A browser of playwright."""
    from playwright.sync_api import sync_playwright  # pyright: ignore[reportMissingImports]  # of no extra

    with sync_playwright() as playwright:
        found = playwright.chromium.launch(
            executable_path=executable(),
            args=["--no-sandbox"],  # root in a container has none
        )
        try:
            yield found
        finally:
            found.close()
