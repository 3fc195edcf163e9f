"""Keys of stores, runs and trials are those that were written before: recorded once, held since.

A field that comes later must leave them as they are at its default.
"""

import dataclasses

import pytest

from raynef.config.fields import FREE, KEYS, Key, in_key, settings
from raynef.config.presets import load_presets
from raynef.config.recipe import Recipe, fingerprint, may_change
from raynef.images.datasets.imageset import ImageFile, ImageSet
from raynef.jobs.spectral.eigen import LATER, eigen_key
from raynef.jobs.spectral.features import features_key
from raynef.jobs.spectral.segments import segments_key
from raynef.stores.features import store_key
from raynef.sweeps.sweep import differing, identity, score_key


def recipes() -> dict[str, Recipe]:
    """The defaults, presets, and one recipe in which every field that a key holds is another."""
    presets = ["folder", "demo", "cityscapes", "ade20k", "dsm", "dsm_voc2012", "imagenet"]
    found = {"defaults": Recipe(), **{name: load_presets([name]) for name in presets}}
    found["cityscapes on dino_s16"] = load_presets(["cityscapes", "dino_s16"])
    found["folder on clip_b16"] = load_presets(["folder", "clip_b16"])
    other = {
        "data": {"short_side": 96, "crop": 64, "scale": (1.0, 1.0), "flip": 0.0, "num_views": 2},
        "backbone": {"name": "vit_tiny_patch16_224", "tap": "keys", "input_size": 64},
        "graph": {"alpha": 0.5, "pixel_neighbors": ((4, 1.0),)},
        "train": {"epochs": 3, "seed": 7},
        "spectral": {
            "feature": "query",
            "block": 3,
            "stage": 1,
            "max_side": 64,
            "resolution": 4,
            "color_weight": 1.0,
            "color_neighbors": ((4, 1.0),),
            "num_eigenvectors": 5,
        },
    }
    other["data"] |= {"photometric": False, "view_seed": 3}
    found["other"] = dataclasses.replace(
        Recipe(),
        **{
            name: dataclasses.replace(getattr(Recipe(), name), **fields)
            for name, fields in other.items()
        },
    )
    return found


def keys(recipe: Recipe, folder) -> dict[str, str]:
    """All keys of a recipe, on two files; the weights of a hub are 'hub'."""
    for name, size in (("a.png", 3), ("b.png", 5)):
        (folder / name).write_bytes(b"x" * size)
    files = tuple(ImageFile(name, str(folder / name), None) for name in ("a.png", "b.png"))
    images = ImageSet(root=str(folder), split=None, files=files)
    whole = features_key(recipe, images, 16)
    return {
        "recipe": fingerprint(differing(recipe)),
        "features": fingerprint(store_key(recipe, images)),
        "whole": fingerprint(whole),
        "eigen": fingerprint(eigen := eigen_key(whole, recipe.spectral)),
        **{
            method: fingerprint(segments_key(eigen, recipe.spectral, method, seed=1))
            for method in ("spectral", "cluster-seg")
        },
        "ours": identity(recipe, "ours"),
        "spectral trial": identity(recipe, "spectral"),
        "score": score_key(recipe),
        "changes": fingerprint(sorted(may_change("ours", recipe))),
        "probe": fingerprint(sorted(may_change("probe-psi", recipe))),
    }


RECORDED = {
    "defaults": (
        "44136fa355b3678a 929325fbaf9cc307 6408b7cbbc00d227 f028255ad349cf20 b8d42c49dcf3695d"
        " 0c9c884a043e0848 84f3f28b e54d96d0 513e17b9c6bfbbe3 640e6835f447bb28 6871939790f3cf79"
    ),
    "folder": (
        "2a51e38d72faf3d5 1c23becb97c853ea 6408b7cbbc00d227 f028255ad349cf20 b8d42c49dcf3695d"
        " 0c9c884a043e0848 9199baa0 54670038 572eab50f8ea6615 f6472a38a15f0b08 86d88bc934535b55"
    ),
    "demo": (
        "1dca2775fde39714 5d89a6982ab9025b 6408b7cbbc00d227 f028255ad349cf20 b8d42c49dcf3695d"
        " 0c9c884a043e0848 2166c3bd d7608cbb b5fc30bee4cce9fe 640e6835f447bb28 6871939790f3cf79"
    ),
    "cityscapes": (
        "f86bbc8001e2c74b c95a30954029d8b5 1a4f16292759344b 53bb8a9c97c8fc74 5a9f32230dade584"
        " 7f4de17e3d631961 809f9393 dd8d5610 68e7d5273565fb07 640e6835f447bb28 6871939790f3cf79"
    ),
    "ade20k": (
        "e996504b2f29d4b2 71d7891f9dae1654 1a4f16292759344b 53bb8a9c97c8fc74 5a9f32230dade584"
        " 7f4de17e3d631961 e7d26a75 b36e8f7b e5aa354ec54bdbc4 640e6835f447bb28 6871939790f3cf79"
    ),
    "dsm": (
        "90655e76c1c5892c 656955d935920c76 0d0bfbe7af878b91 c3bc7ba6805cac34 6293fd4f5ea11664"
        " 4c0d72e72dea0d5c 73a102ed 632f576b 3801ecfc447060c1 640e6835f447bb28 6871939790f3cf79"
    ),
    "dsm_voc2012": (
        "0bf86d943ebcdb6e 656955d935920c76 0d0bfbe7af878b91 c3bc7ba6805cac34 6293fd4f5ea11664"
        " 4c0d72e72dea0d5c 3a61ea76 e68c3980 8f5bd71802dd18a6 640e6835f447bb28 6871939790f3cf79"
    ),
    "imagenet": (
        "41dc6567255dce16 74f079c8a87cc217 1a4f16292759344b 53bb8a9c97c8fc74 5a9f32230dade584"
        " 7f4de17e3d631961 2c017c88 c273efe7 887a710f1ed29368 640e6835f447bb28 6871939790f3cf79"
    ),
    "cityscapes on dino_s16": (
        "8189e3fd00057a62 0efed20a7fc9b4d9 eafc206b13aa27e0 b6c18379d4c907c8 b971f85e4829e271"
        " 1e247a098425cffa bcf13e27 12e1b17e 68e7d5273565fb07 640e6835f447bb28 6871939790f3cf79"
    ),
    "folder on clip_b16": (
        "f3c68e59e82a7fc2 1903e490e87c2d4c 76be15b348aed99a ba3cc7ee7a992d47 e2e3123be06fd34b"
        " 5c83cc10cf651943 a6fc583c 0e9031db 572eab50f8ea6615 f6472a38a15f0b08 86d88bc934535b55"
    ),
    "other": (
        "a3256a36a0b84e88 3b3a971f2e3e779f 298fde02025d2ef5 886f30669a5294dd 9f4473e1c6463723"
        " 14e943c508c7e1fd 3017c4b5 7d50bb97 faa6de52ecefc780 640e6835f447bb28 6871939790f3cf79"
    ),
}
"""Of raynef 0.1.0, in the order of ``keys``."""


@pytest.mark.parametrize("name", RECORDED)
def test_keys_are_those_that_were_recorded(name, tmp_path):
    assert list(keys(recipes()[name], tmp_path).values()) == RECORDED[name].split()


def test_what_may_change_on_a_folder():
    assert sorted(s.name for s in settings(Recipe) if FREE in s.notes) == [
        "backbone.batch_size",
        "data.max_bad_fraction",
        "data.val_split",
        "evaluate.batch_size",
        "evaluate.boundary",
        "evaluate.crf",
        "evaluate.crf_clusters",
        "evaluate.crop",
        "evaluate.match",
        "evaluate.match_on",
        "evaluate.protocol",
        "evaluate.stride",
        "evaluate.window",
        "graph.search",
        "train.compile",
        "train.max_failures",
        "train.num_workers",
        "train.store",
    ]


def test_what_no_eigenpair_depends_on():
    assert LATER == ("num_segments", "num_clusters", "background", "expand", "hungarian")


def test_a_later_field_is_left_out_of_a_key_at_its_default():
    assert "input_size" not in in_key(Recipe(), "views")
    backbone = dataclasses.replace(Recipe().backbone, input_size=64)
    assert in_key(dataclasses.replace(Recipe(), backbone=backbone), "views")["input_size"] == 64


@pytest.mark.parametrize("of", KEYS)
def test_names_in_a_key_are_told_apart(of):
    names = [s.in_keys()[of] for s in settings(Recipe) if of in s.in_keys()]
    assert names
    assert len(names) == len(set(names))


@pytest.mark.parametrize("of", ["eigenpairs", "segments", "cuts"])
def test_these_keys_see_the_spectral_section_alone(of):
    assert in_key(Recipe(), of) == in_key(Recipe().spectral, of)


def test_a_key_that_there_is_not():
    with pytest.raises(ValueError, match=r"'veiws' is no cache key; there are views, images"):
        Key("veiws")
