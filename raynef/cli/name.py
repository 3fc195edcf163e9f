"""``raynef name``."""

import sys
from pathlib import Path
from typing import Literal

from raynef.cli.command import Command, Positional, Result
from raynef.core.errors import UserError


class Name(Command):
    """Name clusters on a local page, or by NUMBER=NAME; predict and export then speak of classes.

    The page opens where no name is given and stdout is a terminal; a script or a pipe gets the list
    of names instead. With --text a model that CAPTIONS of images trained names the clusters that no
    person has named.
    """

    run: Positional[Path]
    """Folder of the run, or of a segmenter."""
    names: Positional[tuple[str, ...]] = ()
    """As NUMBER=NAME, such as 3=sky; NUMBER= takes a name away. Two clusters may have one name."""
    cut: int | None = None
    """Numbers are those of groups, as raynef predict --cut N shows them; the page begins with N
    groups."""
    images: str | None = None
    """What the page shows crops of: a folder or an address; the run's training images if not
    given."""
    port: int | None = None
    """Of the page, on 127.0.0.1; any that is free if not given."""
    browser: bool = True
    """Open the page in the browser; without, its address is printed alone."""
    list: bool = False
    """List the names in place of the page."""
    text: Path | None = None
    """A file of classes, one a line, other words for it after commas: each cluster that no person
    named gets the one that fits its patches best, where that is clearly ahead."""
    text_model: str = "ViT-B-16"
    """A model of open_clip, such as ViT-B-32, or hf-hub:ORGANIZATION/NAME or local-dir:FOLDER.
    Captions trained all of them."""
    text_weights: str | None = None
    """A tag of the hub, such as laion2b_s34b_b88k, or a file; where the model is a folder or
    of the hub by its name, its own."""
    text_attention: Literal["values", "neighborhood"] = "values"
    """What makes patches comparable with texts: the last block's values (MaskCLIP), or those
    averaged over patches that are alike and near (NACLIP)."""
    text_margin: float = 0.1
    """Probability by which a class must be ahead of the second; a cluster below stays unnamed."""

    def execute(self) -> Result:
        if self.text is not None:
            return self._by_text(self.text)
        changes = dict(map(_pair, self.names))
        if changes or not self._opens_page():
            from raynef.jobs.naming import name_clusters

            return name_clusters(self.run, changes, cut=self.cut)
        from raynef.web.naming import name_on_page

        return name_on_page(
            self.run,
            images=self.images,
            cut=self.cut,
            port=self.port or 0,
            browser=self.browser,
        )

    def _by_text(self, classes: Path) -> Result:
        if self.names or self.list or self.cut is not None or self.port is not None:
            raise UserError("--text names clusters by itself: give names or the page another time")
        from raynef.jobs.text_names import TextModel, name_by_text

        model = TextModel(self.text_model, self.text_weights, self.text_attention)
        return name_by_text(self.run, classes, model, margin=self.text_margin, images=self.images)

    def _opens_page(self) -> bool:
        """Whether a page is asked for, or a person sits at the terminal."""
        asked = not self.browser or self.port is not None or self.images is not None
        on_terminal = sys.__stdout__ is not None and sys.__stdout__.isatty()
        return not self.list and (asked or on_terminal)


def _pair(text: str) -> tuple[int, str | None]:
    number, equals, name = text.partition("=")
    if not equals or not number.strip().isdecimal():
        raise UserError(f"a name is given as NUMBER=NAME, such as 3=sky; got {text!r}")
    return int(number), name.strip() or None
