"""The product of a run: an image goes in, its segments come out."""

from dataclasses import replace
from pathlib import Path
from typing import Self

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from raynef.assign.tree import ClusterTree
from raynef.config.recipe import Backbone as BackboneConfig
from raynef.core.devices import beside
from raynef.core.errors import UserError
from raynef.eigen.psi import Psi
from raynef.features.backbone import Backbone, load_backbone
from raynef.features.extract import extract_features
from raynef.features.precision import Precision, backbone_precision
from raynef.features.weights import weights_identity
from raynef.images.decode import rgb_of
from raynef.images.geometry import (
    pad_to,
    resize,
    resize_bicubic,
    short_side_size,
    whole_patches,
)
from raynef.models.extension import Extension
from raynef.models.folder import (
    Mapping,
    cut_tree,
    read_tree,
    save_mapping,
    save_tree,
    segmenter_folder,
)
from raynef.models.heads import LinearHead
from raynef.models.hub import OnHub
from raynef.models.names import Names, read_names, save_names
from raynef.models.origin import Origin, read_origin, save_origin
from raynef.models.saved import SavedSegmenter, head_of, read_saved, saved_landmarks
from raynef.models.segmentation import Segmentation
from raynef.models.soft import Scores
from raynef.segment.patch_map import PatchMap, cluster_maps
from raynef.segment.windows import Windows, sliding_windows, whole_image

__all__ = ["Mapping", "Segmentation", "Segmenter", "save_mapping", "segmenter_folder"]


class Segmenter(OnHub):
    """A frozen backbone, what makes clusters of its features, and a mapping to classes if any.

    A photograph is seen with its short side at ``short_side``, both sides rounded to whole patches.
    Several threads may segment with one segmenter at once.

    Where the recipe gives ``backbone.input_size``, a center crop or a window is resized bicubically
    to that square, as training crops are, and a whole photograph is cut into squares of its short
    side, which are averaged where they overlap. Nothing is distorted then, and patches have the
    position embeddings that the backbone was trained with. (K-means on MSRC, ViT-Ti at 224: mIoU
    60.3 %; 58.4 % with each photograph squeezed into one square.)

    Args:
        head: ψ, trained (its own head is made plain), or a linear head.
        backbone_config: the recipe's, for saving and for its ``input_size``.
        short_side: size at which images are segmented, in pixels.
        supervised: a linear probe, trained on labels: its outputs are the classes of ``mapping``,
            which is never fitted.
        labels_leaked: ψ was trained on labels too (train.leak_labels).
        captions: of images trained a text model, whose classes its outputs are: those of
            ``mapping``, which is never fitted.
        tree: over its clusters; None where there is none, as of a probe.
        names: that a person gave to clusters; where there are some, they are the classes of what is
            segmented, not those of ``mapping``.
        tau: of the softmax that makes eigenfunctions of its outputs, where ψ learned some.
        origin: what it was made of, as far as that was recorded.
    """

    def __init__(
        self,
        backbone: Backbone,
        head: Psi | LinearHead,
        *,
        backbone_config: BackboneConfig,
        short_side: int,
        mapping: Mapping | None = None,
        supervised: bool = False,
        labels_leaked: bool = False,
        captions: bool = False,
        tree: ClusterTree | None = None,
        names: Names | None = None,
        tau: float | None = None,
        origin: Origin | None = None,
    ) -> None:
        self.backbone = backbone.eval()
        self.head = (head.plain() if isinstance(head, Psi) else head).eval()
        self.backbone_config, self.short_side = backbone_config, short_side
        self.mapping, self.supervised, self.labels_leaked = mapping, supervised, labels_leaked
        self.captions, self.tau, self.origin = captions, tau, origin
        self.tree, self.names = tree, names or Names()

    @property
    def num_clusters(self) -> int:
        """K."""
        return self.head.head.out_features

    @property
    def knows_classes(self) -> bool:
        """Whether its outputs are classes, which need no matching."""
        return self.supervised or self.captions

    @property
    def classes(self) -> Mapping | None:
        """What its clusters are called: by a person, else by labels; None where nobody said."""
        return self.names.classes(self.num_clusters) or self.mapping

    def cut(self, count: int) -> np.ndarray:
        """Clusters merged into ``count`` groups by the tree: the group of each, int64 [K].

        Group 0 is the largest. ``segmenter.cut(12)[segmentation.clusters]`` is a map of twelve.

        Raises:
            UserError: no tree, or a number that is not 1 to K.
        """
        return cut_tree(self.tree, self.num_clusters, count)

    def cell(self, size: tuple[int, int]) -> tuple[float, float]:
        """Pixels that a patch of an image of ``size`` = (H, W) covers: (height, width)."""
        patch, side = self.backbone.patch_size, self.backbone_config.input_size
        if side is None:
            return patch, patch
        return size[0] * patch / side, size[1] * patch / side

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return self.head.head.bias.device

    @property
    def precision(self) -> Precision:
        """In which its backbone computes there."""
        return backbone_precision(self.backbone_config.precision, self.device)

    def to(self, device: torch.device | str) -> Self:
        """Move backbone and head to a device."""
        self.backbone.to(device)
        self.head.to(device)
        return self

    def windows(self, size: tuple[int, int]) -> Windows:
        """How a whole image of ``size`` (H, W) is cut: not at all, or into squares; see above."""
        if self.backbone_config.input_size is None:
            return whole_image(size)
        return sliding_windows(size, window=min(size), stride=min(size))

    def patch_logits(self, pixels: np.ndarray) -> Tensor:
        """Logits of images of one size: uint8 [B, H, W, 3] -> float32 [B, h, w, K].

        Sides that are no multiple of the patch size are padded by repeating the edge, so h and w
        are rounded up.
        """
        padded = self.padded(pixels)
        return self.logits(self.taps(padded), padded.shape[1:3])

    def padded(self, pixels: np.ndarray) -> np.ndarray:
        """Images as the backbone takes them: at its input size if any, padded to whole patches."""
        patch, side = self.backbone.patch_size, self.backbone_config.input_size
        if side is not None:
            pixels = np.stack([resize_bicubic(image, (side, side)) for image in pixels])
        height, width = (-(-side // patch) * patch for side in pixels.shape[1:3])
        return np.stack([pad_to(image, height, width) for image in pixels])

    @torch.inference_mode()
    def taps(self, padded: np.ndarray) -> Tensor:
        """The backbone's taps: uint8 [B, H, W, 3] of whole patches -> float32 [B, T, h·w, D]."""
        return extract_features(self.backbone, padded, precision=self.precision).taps.float()

    @torch.inference_mode()
    def logits(self, taps: Tensor, size: tuple[int, ...]) -> Tensor:
        """Logits [B, h, w, K] of taps of padded images of ``size`` = (H, W), beside the device."""
        patch = self.backbone.patch_size
        grid = (size[0] // patch, size[1] // patch)
        # In float32, whatever the backbone and ψ's training computed in.
        return self.head(taps.float(), grid=grid).unflatten(1, grid).to(beside(taps.device))

    def backbone_weights(self) -> str:
        """What identifies the backbone's weights."""
        return weights_identity(self.backbone_config)

    def patch_maps(
        self, pixels: np.ndarray, windows: Windows | None = None, *, at_once: int | None = None
    ) -> list[PatchMap]:
        """Patch logits of images of one size, uint8 [B, H, W, 3], and how they become pixels.

        Args:
            pixels: images at ``short_side``, or crops of that.
            windows: how each is cut; as the method ``windows`` says if None.
            at_once: windows of a forward pass; all if None.
        """
        height, width = pixels.shape[1:3]
        windows = windows or self.windows((height, width))
        crops = np.concatenate([windows.cut(image) for image in pixels])
        step = at_once or len(crops)
        parts = [crops[start : start + step] for start in range(0, len(crops), step)]
        logits = torch.cat([self.patch_logits(part) for part in parts])
        grid = (logits.shape[1], logits.shape[2])
        cell = self.cell(windows.window)
        return [
            PatchMap(windows.join(image), windows, grid, cell)
            for image in logits.chunk(len(pixels))
        ]

    def clusters(self, pixels: np.ndarray, size: tuple[int, int] | None = None) -> np.ndarray:
        """Cluster maps of images of one size: uint8 [B, H, W, 3] -> uint16 [B, *size].

        Images are at ``short_side``, or crops of that; ``size`` is theirs if None.
        """
        size = size or (pixels.shape[1], pixels.shape[2])
        return cluster_maps(self.patch_maps(pixels), size)

    def __call__(self, image: Image.Image | np.ndarray | str | Path) -> Segmentation:
        """Segment one image at its own size.

        Args:
            image: a PIL image, an array (uint8 [H, W, 3], [H, W, 4] or [H, W]) or a path.

        Raises:
            BadImageError: a file that cannot be read as an image.
        """
        pixels = rgb_of(image)
        (found,) = maps = self.patch_maps(self.seen(pixels)[None])
        (clusters,) = cluster_maps(maps, (pixels.shape[0], pixels.shape[1]))
        classes = self.classes.classes if self.classes else None
        scores = Scores(replace(found, logits=found.logits.cpu()), self.tau, classes)
        return replace(self.named(clusters, pixels), outputs=scores)

    def require_tile(self, tile: int) -> None:
        """Raise UserError where a window is not of whole patches."""
        patch = self.backbone.patch_size
        if tile < patch or tile % patch:
            raise UserError(
                f"--tile must be a multiple of the patch size, {patch} pixels, got {tile}"
            )

    def tiled(self, pixels: np.ndarray, tile: int) -> PatchMap:
        """Patch logits of a photograph at its full resolution, uint8 [H, W, 3], in windows.

        Windows are squares of ``tile`` pixels, every half of that, and averaged where they overlap.
        A side that is shorter than a window is brought to whole patches. Raises UserError as
        ``require_tile``.
        """
        self.require_tile(tile)
        height, width = pixels.shape[:2]
        if self.backbone_config.input_size is not None:
            tile = min(tile, height, width)  # squares are never distorted
        else:
            whole = whole_patches((height, width), self.backbone.patch_size)
            height = whole[0] if height < tile else height
            width = whole[1] if width < tile else width
        size = (height, width)
        windows = sliding_windows(size, window=tile, stride=max(1, tile // 2))
        seen = resize(pixels, size)[None]
        (found,) = self.patch_maps(seen, windows, at_once=self.backbone_config.batch_size)
        return found

    def named(self, clusters: np.ndarray, pixels: np.ndarray | None = None) -> Segmentation:
        """A cluster map [H, W] with the classes of its clusters, and its image if given."""
        named = self.classes
        if named is None:
            return Segmentation(clusters, image=pixels)
        classes = np.asarray(named.classes, dtype=np.int16)[clusters]
        return Segmentation(clusters, classes, named.class_names, pixels)

    def seen(self, pixels: np.ndarray) -> np.ndarray:
        """A whole photograph, uint8 [H, W, 3], at the size at which it is seen.

        Of whole patches: repeated edges are in no training crop, and patches with them come out as
        other things than what is beside them.
        """
        size = short_side_size(pixels.shape, self.short_side)
        if self.backbone_config.input_size is None:
            size = whole_patches(size, self.backbone.patch_size)
        return resize(pixels, size)

    def card(self, repo_id: str, license: str | None = None) -> str:
        """Its model card: see ``raynef.models.card.model_card``."""
        from raynef.models.card import model_card

        return model_card(self, repo_id, license=license)

    def save(self, folder: str | Path) -> Path:
        """Write config.json and model.safetensors; backbone weights from a local file go along."""
        head = self.head
        trunk = head.trunk if isinstance(head, LinearHead) else head
        psi = trunk if isinstance(trunk, Psi) else None
        saved = SavedSegmenter(
            backbone=self.backbone_config,
            num_clusters=self.num_clusters,
            linear=isinstance(head, LinearHead),
            num_blocks=0 if psi is None else len(psi.blocks),
            network="" if psi is None else psi.network,
            landmarks=saved_landmarks(trunk) if isinstance(trunk, Extension) else None,
            cosine=isinstance(head, LinearHead) and head.cosine,
            context=head.context if isinstance(head, LinearHead) else 0.0,
            short_side=self.short_side,
            mapping=self.mapping,
            supervised=self.supervised,
            labels_leaked=self.labels_leaked,
            captions=self.captions,
            tau=self.tau,
        )
        saved.write(Path(folder), head)
        save_tree(folder, self.tree)
        save_names(Path(folder), self.names)
        save_origin(Path(folder), self.origin)
        return Path(folder)

    @classmethod
    def load(cls, path: str | Path, *, device: torch.device | str = "cpu") -> Self:
        """Open a run's folder, or the ``segmenter`` folder within it.

        Raises:
            UserError: where there is no segmenter, or it is damaged.
        """
        folder = segmenter_folder(path)
        saved = read_saved(folder)
        backbone = load_backbone(saved.backbone)
        return cls(
            backbone,
            head_of(folder, saved, backbone.dim),
            backbone_config=saved.backbone,
            short_side=saved.short_side,
            mapping=saved.mapping,
            supervised=saved.supervised,
            labels_leaked=saved.labels_leaked,
            captions=saved.captions,
            tree=read_tree(folder, saved.num_clusters),
            names=read_names(folder, saved.num_clusters),
            tau=saved.tau,
            origin=read_origin(folder),
        ).to(device)
