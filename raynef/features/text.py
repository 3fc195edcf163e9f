"""Classes as texts: a file of them, their prompts, and where a model of open_clip puts them.

A file of classes has one a line, other words for it after commas: ``cow, cattle, calf``. The first
is the name.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from raynef.core.errors import UserError
from raynef.features.clip import ClipName, load_clip, quietly, require_open_clip

TEMPLATES = (
    "a photo of a {}.",
    "a photo of the {}.",
    "a photo of one {}.",
    "a photo of many {}.",
    "there is a {} in the scene.",
    "there is the {} in the scene.",
    "a close-up photo of a {}.",
    "a blurry photo of a {}.",
)
"""Some of those that CLIP (arXiv:2103.00020) and ViLD (arXiv:2104.13921) average over."""
_AT_ONCE = 256  # prompts of a forward pass


@dataclass(frozen=True)
class TextClass:
    """A class: its name, and the words for it, of which the name is one."""

    name: str
    words: tuple[str, ...]

    @classmethod
    def of(cls, line: str, name: str | None = None) -> "TextClass":
        """Of words with commas between; the first is the name if none is given.

        ``traffic_sign`` is read as two words.
        """
        words = tuple(word.strip() for word in line.split(",") if word.strip()) or (line,)
        return cls(name or words[0], tuple(word.replace("_", " ") for word in words))


def read_classes(path: Path) -> tuple[TextClass, ...]:
    """The classes of a file. Raises UserError: no text, fewer than two, or one twice."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"the classes in {path} cannot be read: {error}") from error
    classes = tuple(TextClass.of(line) for line in lines if line.strip(" \t,"))
    names = [found.name for found in classes]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(f"{path}: class {twice[0]!r} is there twice")
    require_several(classes, source=str(path))
    return classes


def require_several(classes: Sequence[TextClass], *, source: str) -> None:
    """Raise UserError where there is nothing to choose from."""
    if len(classes) < 2:
        raise UserError(
            f"{source}: {len(classes)} class(es); what is in a picture is told by comparing two or "
            "more, one a line, other words for it after commas"
        )


@dataclass(frozen=True)
class TextClasses:
    """Classes as a model sees them.

    Attributes:
        embeddings: of each class at unit length, float32 [C, E].
        scale: by which the model multiplies cosines before a softmax.
    """

    embeddings: Tensor
    scale: float


def embed_classes(which: ClipName, classes: Sequence[TextClass]) -> TextClasses:
    """Where a model puts classes: the mean over words and templates, each at unit length.

    Raises:
        UserError: as of ``load_clip``, or words whose tokenizer could not be fetched.
    """
    open_clip, model = require_open_clip(), load_clip(which)
    try:
        with quietly():
            tokenizer = open_clip.get_tokenizer(which.name)
    except Exception as error:  # of the hub; that of OpenAI's models is within open_clip
        reason = str(error).strip().partition("\n")[0]
        raise UserError(f"the tokenizer of {which.name} could not be fetched: {reason}") from error
    found = [_embed(model, tokenizer, prompts_of(one)).mean(dim=0) for one in classes]
    unit = functional.normalize(torch.stack(found), dim=-1)
    return TextClasses(unit, float(model.logit_scale.exp()))


def prompts_of(one: TextClass, templates: Iterable[str] = TEMPLATES) -> list[str]:
    """Each word of a class in each template."""
    return [template.format(word) for word in one.words for template in templates]


@torch.inference_mode()
def _embed(model: Any, tokenizer: Any, prompts: Sequence[str]) -> Tensor:
    """Float32 [prompts, E], at unit length."""
    tokens = tokenizer(list(prompts))
    parts = [model.encode_text(part, normalize=True).float() for part in tokens.split(_AT_ONCE)]
    return torch.cat(parts)
