"""The model card of a segmenter on a hub: README.md with its front matter."""

from collections.abc import Iterator

import yaml

from raynef.config.recipe import BUNDLED_BACKBONE
from raynef.features.clip import CAPTIONS, PREFIX
from raynef.models.origin import Origin
from raynef.models.segmenter import Segmenter

_TAGS = ("raynef", "unsupervised", "semantic-segmentation")
_NAMED = 100  # classes, at most


def model_card(segmenter: Segmenter, repo_id: str, *, license: str | None = None) -> str:
    """Markdown: what the segmenter is, what trained it, its scores, how it is used.

    Args:
        segmenter: of whose training ``origin`` tells, if anything.
        repo_id: under which it can be loaded.
        license: as the hub abbreviates it; none is claimed without.
    """
    supervised = segmenter.supervised or segmenter.labels_leaked
    tags = [tag for tag in _TAGS if not (supervised and tag == "unsupervised")]
    matter = {
        "library_name": "raynef",
        "pipeline_tag": "image-segmentation",
        **({"license": license} if license else {}),
        "tags": tags,
    }
    head = yaml.safe_dump(matter, sort_keys=False, allow_unicode=True)
    return "\n".join([f"---\n{head}---\n", *_text(segmenter, repo_id)])


def _text(segmenter: Segmenter, repo_id: str) -> Iterator[str]:
    origin = segmenter.origin
    yield f"# {repo_id.rpartition('/')[2]}\n"
    yield f"A semantic segmenter with {segmenter.num_clusters} clusters, made by raynef.\n"
    yield f"- **Labels**: {_labels(segmenter)}"
    yield f"- **Training data**: {_data(origin)}"
    if origin:
        yield f"- **Method**: {origin.method}"
    yield f"- **Backbone**: `{segmenter.backbone.name}`, frozen; {_weights(segmenter)}"
    yield f"- **Images**: RGB, seen with their short side at {segmenter.short_side} pixels"
    yield f"- **Classes**: {_classes(segmenter)}"
    yield from _use(repo_id)
    yield from _scores(origin)
    if origin:
        versions = ", ".join(f"{name} {version}" for name, version in origin.versions.items())
        yield "\n## Versions\n"
        commit = origin.git_commit or "not recorded"
        yield f"Trained {origin.made} with {versions}. Commit: {commit}.\n"


def _labels(segmenter: Segmenter) -> str:
    if segmenter.supervised:
        return "**trained on labels**: a linear probe on frozen features."
    if segmenter.labels_leaked:
        return (
            "**trained on labels too** (train.leak_labels), for comparison with code that did so."
        )
    told = f" But {CAPTIONS}." if segmenter.captions or segmenter.names.sources else ""
    return f"none trained it. The pretraining of its backbone is not covered by this.{told}"


def _data(origin: Origin | None) -> str:
    if origin is None:
        return "not recorded."
    name = "a folder of images" if origin.data == "folder" else origin.data
    return f"{name}, {origin.num_images} images."


def _weights(segmenter: Segmenter) -> str:
    config = segmenter.backbone_config
    if config.weights in (None, "bundled") and config.name == BUNDLED_BACKBONE:
        return "the weights come with raynef."
    if config.weights in (None, "hub"):
        library = "open_clip" if config.name.startswith(PREFIX) else "timm"
        return f"{library} loads its weights from the hub."
    return "its weights were a file, which is here as `backbone.safetensors` under its own license."


def _classes(segmenter: Segmenter) -> str:
    classes = segmenter.classes
    if classes is None:
        return "none: its clusters have no names."
    by = _named_by(segmenter)
    shown = ", ".join(f"`{name.replace('`', '')}`" for name in classes.class_names[:_NAMED])
    more = len(classes.class_names) - _NAMED
    return f"named by {by}: {shown}" + (f" and {more} more." if more > 0 else ".")


def _named_by(segmenter: Segmenter) -> str:
    names = segmenter.names
    if segmenter.supervised:
        return "its training labels"
    if segmenter.captions:
        return "texts of these classes"
    if not names.classes(segmenter.num_clusters):
        return "labels, after training"
    by_text = len(names.sources)
    people = "a person" if by_text < len(names.names) else ""
    return " and ".join(filter(None, (people, "a text model" if by_text else "")))


def _use(repo_id: str) -> Iterator[str]:
    yield "\n## Use\n"
    yield "```python"
    yield "import raynef\n"
    yield f'segmenter = raynef.Segmenter.from_pretrained("{repo_id}")'
    yield 'found = segmenter("photo.jpg")  # a path, a PIL image or an array'
    yield "found.show()"
    yield "found.masks()  # bool [H, W] of each segment"
    yield "```"


def _scores(origin: Origin | None) -> Iterator[str]:
    if origin is None or origin.evaluated is None:
        return
    found = origin.evaluated
    yield "\n## Scores\n"
    yield "| mIoU, % | pixel accuracy, % | images | split |"
    yield "|---|---|---|---|"
    scores = f"| {100 * found.miou:.1f} | {100 * found.accuracy:.1f} "
    yield f"{scores}| {found.num_images} | {found.split or 'all'} |\n"
    yield f"Protocol: {found.protocol}. Matching of clusters to classes: {found.matching}."
