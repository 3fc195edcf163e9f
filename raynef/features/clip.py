"""Models of open_clip: made by name, with weights from the hub or a file.

As a backbone such a model is called ``open_clip/NAME.TAG``, for instance
``open_clip/ViT-B-16-quickgelu.openai``; the tag of its weights is left out where a file has them,
and where the name is a place itself: ``hf-hub:ORGANIZATION/NAME`` or ``local-dir:FOLDER``.

Captions of images trained these models: what is made with them is not without any supervision.
"""

import contextlib
import difflib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raynef.core.errors import UserError

if TYPE_CHECKING:
    from raynef.features.dense_clip import Attention, DenseClip

PREFIX = "open_clip/"
_PLACES = ("hf-hub:", "local-dir:")
CAPTIONS = "captions of images trained the text model"


@dataclass(frozen=True)
class ClipName:
    """Which model, with which weights.

    Attributes:
        name: open_clip's.
        weights: a tag of the hub, or a file; None where the name says where they are.
    """

    name: str
    weights: str | None

    @classmethod
    def of_backbone(cls, name: str, file: Path | None = None) -> "ClipName":
        """Of a recipe's ``backbone.name``, with the weights of a file if given."""
        name = name.removeprefix(PREFIX)
        tag = ""
        if not name.startswith(_PLACES):
            name, _, tag = name.partition(".")
        return cls(name, str(file) if file else tag or None)

    @property
    def is_of_file(self) -> bool:
        """Whether its weights lie in a file."""
        return self.weights is not None and Path(self.weights).is_file()

    def __str__(self) -> str:
        return f"{self.name}, {self.weights}" if self.weights else self.name


def load_clip(which: ClipName) -> Any:
    """A model of open_clip with its weights, on the CPU, in evaluation mode.

    Raises:
        UserError: open_clip is not installed, there is no such model or tag, the weights could not
            be fetched or do not fit.
    """
    open_clip = require_open_clip()
    _require_model(open_clip, which.name)
    _require_weights(open_clip, which)
    try:
        with quietly():
            model = open_clip.create_model(
                which.name, pretrained=which.weights, require_pretrained=True
            )
    except Exception as error:  # of the hub, of files and of shapes: there is no end of kinds
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        if which.is_of_file:
            raise UserError(f"weights {which.weights} do not fit {which.name}: {reason}") from error
        raise UserError(
            f"the weights of {which} could not be fetched ({reason}); without network give a file "
            "that open_clip saved: --text-weights FILE, or --backbone.weights FILE for a backbone"
        ) from error
    return model.eval().requires_grad_(False)


def load_dense_clip(name: str, file: Path | None, attention: "Attention") -> "DenseClip":
    """The visual tower of a backbone ``open_clip/…``. Errors as of ``load_clip``."""
    from raynef.features.dense_clip import DenseClip  # of timm, which takes two seconds

    which = ClipName.of_backbone(name, file)
    return DenseClip(load_clip(which).visual, name=which.name, attention=attention)


def empty_dense_clip(name: str) -> "DenseClip":
    """Likewise with random weights, where only its sizes are asked for."""
    from raynef.features.dense_clip import DenseClip

    open_clip, which = require_open_clip(), ClipName.of_backbone(name)
    _require_model(open_clip, which.name)
    with quietly():
        visual = open_clip.create_model(which.name, load_weights=False).visual
    return DenseClip(visual, name=which.name, attention="values")


def require_open_clip() -> Any:
    """The module open_clip. Raises UserError where it is not installed."""
    try:
        import open_clip
    except ImportError as error:
        raise UserError(
            "models that know texts need open_clip: pip install 'raynef[text]'"
        ) from error
    return open_clip


def _require_model(open_clip: Any, name: str) -> None:
    known = open_clip.list_models()
    if name.startswith(_PLACES) or name in known:
        return
    near = difflib.get_close_matches(name, known, n=5, cutoff=0.5)
    hint = f"; similar: {', '.join(near)}" if near else ""
    raise UserError(f"{name!r} is not a model of open_clip{hint}")


def _require_weights(open_clip: Any, which: ClipName) -> None:
    if which.name.startswith(_PLACES) and which.weights is not None:
        raise UserError(f"{which.name} has weights of its own: leave out {which.weights}")
    if which.name.startswith(_PLACES) or which.is_of_file:
        return
    name, tag = which.name, which.weights
    tags = open_clip.list_pretrained_tags_by_model(name)
    if tag not in tags:
        said = f"has no weights {tag!r}" if tag else "needs weights"
        raise UserError(f"{name} {said}: a file, or one of {', '.join(tags) or 'none on the hub'}")
    quick = open_clip.get_pretrained_cfg(name, tag).get("quick_gelu", False)
    if quick and not open_clip.get_model_config(name).get("quick_gelu", False):
        raise UserError(f"weights {tag} were trained with QuickGELU: use {name}-quickgelu")


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """For calls of open_clip: it writes to the root logger, which would get a handler by that."""
    handler = logging.NullHandler()
    logging.root.addHandler(handler)
    try:
        yield
    finally:
        logging.root.removeHandler(handler)
