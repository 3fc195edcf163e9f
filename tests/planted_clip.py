"""A tiny CLIP of random weights that knows some colors: its vocabulary is planted.

What a text becomes is left as it is; the visual projection is the linear map that takes patches of
a color nearest to the text of its word. So the right names are known, and texts, patches and
weights go the whole way that those of a trained model go.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from raynef.features.clip import ClipName
from raynef.features.dense_clip import Attention, DenseClip
from raynef.features.text import TextClass, embed_classes

open_clip = pytest.importorskip("open_clip", reason="open_clip is not installed (extra: text)")

COLORS = ((200, 30, 30), (30, 160, 60), (40, 60, 210), (240, 220, 120))
WORDS = ("barn", "meadow", "lake", "sand")
SIDE = 112  # of an image, in pixels

_VISION = {"image_size": 64, "layers": 2, "width": 64, "head_width": 16, "patch_size": 16}
_TEXT = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}


def write_photos(folder: Path, count: int = 4) -> Path:
    """Images of four quarters, each of a color, which change places."""
    folder.mkdir(parents=True)
    for number in range(count):
        half = SIDE // 2
        pixels = np.zeros((SIDE, SIDE, 3), dtype=np.uint8)
        for place, color in enumerate(np.roll(np.arange(4), number)):
            row, column = divmod(place, 2)
            area = (slice(row * half, (row + 1) * half), slice(column * half, (column + 1) * half))
            pixels[area] = COLORS[color]
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


def write_clip(
    folder: Path,
    *,
    attention: Attention = "values",
    shares: Sequence[Sequence[float]] = np.eye(4).tolist(),
    **vision: object,
) -> str:
    """A folder of a model, as open_clip calls it.

    Args:
        folder: of the model.
        attention: for which colors are planted.
        shares: of each of the four colors in each of the words.
        vision: changes of the visual tower.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config = {"embed_dim": 32, "vision_cfg": {**_VISION, **vision}, "text_cfg": _TEXT}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config}))
    name = f"local-dir:{folder}"
    torch.manual_seed(0)
    model = open_clip.create_model(name, load_weights=False)
    with torch.no_grad():  # else every text is the same to it
        model.token_embedding.weight.mul_(50)
        for block in model.transformer.resblocks:
            block.attn.out_proj.weight.mul_(20)
    _save(model, folder)
    if vision:
        return name
    texts = embed_classes(ClipName(name, None), [TextClass.of(word) for word in WORDS])
    targets = torch.tensor(shares) @ texts.embeddings
    own = model.visual.proj.data
    model.visual.proj.data = torch.eye(len(own))
    dense = DenseClip(model.visual.eval(), name=name, attention=attention)
    features, colors = _patches(dense)
    model.visual.proj.data = torch.linalg.lstsq(features, targets[colors]).solution
    _save(model, folder)
    return name


def _patches(dense: DenseClip) -> tuple[torch.Tensor, torch.Tensor]:
    """Features of patches [N, D], and the color of each, of images as those of ``write_photos``."""
    side = 336
    grid = side // dense.patch_size
    mean, std = (torch.tensor(dense.pretrained_cfg[key])[:, None, None] for key in ("mean", "std"))
    features, colors = [], []
    for number in range(4):
        order = torch.roll(torch.arange(4), number).reshape(2, 2)
        picture = order.repeat_interleave(side // 2, 0).repeat_interleave(side // 2, 1)
        pixels = torch.tensor(COLORS)[picture].permute(2, 0, 1) / 255
        with torch.no_grad():
            features.append(dense.forward_features(((pixels - mean) / std)[None])[0])
        at = torch.linspace(dense.patch_size // 2, side - dense.patch_size // 2, grid).long()
        colors.append(picture[at][:, at].flatten())
    return torch.cat(features), torch.cat(colors)


def _save(model: torch.nn.Module, folder: Path) -> None:
    state = {key: value.detach().contiguous() for key, value in model.state_dict().items()}
    save_file(state, folder / "open_clip_model.safetensors")
