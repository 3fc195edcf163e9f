"""Every command at its smallest, in an order in which each finds what it needs.

Paths are relative to the folder that all of them run in. No command needs a network, a data set or
weights that do not come with raynef.
"""

import shlex
from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """One command of the record.

    Attributes:
        name: its key in the record.
        argv: the command line after ``raynef``; or a whole one, where ``python`` is set.
        needs: steps that must have run before it.
        python: source of a script in place of a command.
    """

    name: str
    argv: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    python: str | None = None


def _step(name: str, line: str, *needs: str) -> Step:
    return Step(name, tuple(shlex.split(line)), needs)


SPACE = """\
title: The weight of the pixel graph
axes:
  graph.alpha: {grid: [0, 0.3]}
methods: [kmeans, ours, ours_star]
metrics: [miou, accuracy]
rows: [data, method, metric]
columns: graph.alpha
seeds: [0]
"""
SPECTRAL_SPACE = """\
title: The number of eigenvectors
axes:
  spectral.num_eigenvectors: {grid: [3, 5]}
methods: [semantic, cluster_patch]
metrics: [miou_majority]
rows: [data, method]
columns: spectral.num_eigenvectors
seeds: [0]
"""
COMPARISON = """\
recipe: [folder, paper]
set:
  data.root: sample
  data.short_side: 96
  data.crop: 96
  data.num_views: 1
  evaluate.short_side: 96
  evaluate.crop: 96
  backbone.precision: float32
  graph.num_neighbors: 32
  eigen.num_eigenfunctions: 16
  train.batch_size: 8
  train.epochs: 1
columns: [kmeans, ours, ours_star, probe, probe_psi]
rows:
  - {name: plain, seeds: [0, 1]}
  - {name: CRF, evaluate: {crf: true}, columns: [ours]}
"""
FILES = {"space.yaml": SPACE, "spectral.yaml": SPECTRAL_SPACE, "comparison.yaml": COMPARISON}
"""Written before the first command."""

_TEACHER = """\
import timm, torch
from safetensors.torch import save_file
torch.manual_seed(0)
teacher = timm.create_model("vit_tiny_patch16_224", num_classes=0)
save_file(teacher.state_dict(), "teacher.safetensors")
"""
_PYTHON = """\
import hashlib, json
import raynef
segmenter = raynef.Segmenter.load("run")
found = segmenter("sample/images/val_00000.jpg")
digest = hashlib.sha256(found.clusters.tobytes()).hexdigest()
print(json.dumps({"shape": found.clusters.shape, "sha256": digest, "names": found.class_names}))
"""

_SIZE = "--data.short-side 96 --data.crop 96 --backbone.precision float32"
_SMALL = (
    f"--recipe folder paper --data.root sample {_SIZE} --data.num-views 1 --evaluate.short-side 96 "
    "--evaluate.crop 96 --graph.num-neighbors 32 --eigen.num-eigenfunctions 16 "
    "--train.batch-size 8 --train.epochs 2 --train.precision float32"
)
_LEARNED = f"{_SMALL.replace(' paper', '')} --data.num-views 2"
_DSM = (
    f"--recipe dsm --data.name folder --data.root sample {_SIZE} "
    "--backbone.name raynef_vit_micro_patch16 --backbone.weights bundled "
    "--spectral.max-side 96 --spectral.num-clusters 6"
)
_EIGEN = f"spectral eigen {_DSM} --spectral.num-eigenvectors 5"
_RATES = (
    "--cores 64 --rates.decode-images-per-second 100 --rates.extract-images-per-second 900 "
    "--rates.step-images-per-second 300 --rates.fixed-seconds 0.1 --rates.pairs-per-second 1e9 "
    "--rates.score-images-per-second 200 --rates.network-gb-per-second 5 "
    "--rates.message-seconds 1e-4 --rates.store-gb-per-second 1 --rates.write-gb-per-second 1"
)
"""Stated, for what is measured differs from run to run."""

STEPS = (
    _step(
        "demo",
        "demo --out demo --num-train 24 --num-val 6 --data.short-side 96 --data.crop 96 "
        "--evaluate.short-side 96 --evaluate.crop 96 --graph.num-neighbors 32 "
        "--eigen.num-eigenfunctions 16 --train.batch-size 8 --train.epochs 2 "
        "--train.precision float32 --backbone.precision float32",
    ),
    Step("sample", (), ("demo",), 'import os; os.symlink("demo/sample", "sample"); print("{}")'),
    Step("teacher", (), (), _TEACHER + 'print("{}")\n'),
    _step("doctor", "doctor"),
    _step("plan", f"plan --recipe imagenet --images 1.28e6 --val-images 5e4 --gpus 8 {_RATES}"),
    _step("data check", "data check folder --data.root sample", "sample"),
    _step("extract", f"extract {_SMALL} --out store", "sample"),
    _step("train", f"train {_SMALL} --train.store store --out run", "extract"),
    _step("train finished", f"train {_SMALL} --train.store store --out run", "train"),
    _step("status", "status run", "train finished"),
    _step("evaluate", "evaluate run", "train finished"),
    _step("evaluate crf", "evaluate run --evaluate.crf", "evaluate"),
    _step(
        "evaluate sliding",
        "evaluate run --evaluate.protocol sliding --evaluate.window 64 --evaluate.stride 48",
        "evaluate",
    ),
    _step(
        "evaluate whole",
        "evaluate run --evaluate.protocol whole --evaluate.match hungarian "
        "--evaluate.match-on train",
        "evaluate",
    ),
    _step("evaluate again", "evaluate run", "evaluate whole"),
    _step("predict", "predict run demo/sample/images --out segments", "evaluate again"),
    _step("name", "name run --cut 4 0=sky 2=ground", "predict"),
    _step("predict cut", "predict run demo/sample/images --out merged --cut 4", "name"),
    _step("names", "name run --list", "predict cut"),
    _step(
        "predict formats",
        "predict run demo/sample/images --out formats --overlay jpeg --format png ids coco-rle "
        "coco-panoptic cvat fiftyone label-studio parquet",
        "names",
    ),
    _step("predict tiles", "predict run demo/sample/images --out tiles --tile 64", "names"),
    _step("export", "export run --format torch --out segmenter.pt2", "name"),
    Step("python", (), ("evaluate again",), _PYTHON),
    _step("report", "report run --no-images", "evaluate again"),
    _step(
        "train longer",
        f"train {_SMALL} --train.store store --out run --train.epochs 3",
        "predict cut",
        "export",
        "report",
        "python",
    ),
    _step("train seeds", f"train {_SMALL} --train.epochs 1 --seeds 0 1 --out seeds", "sample"),
    _step("evaluate seeds", "evaluate seeds", "train seeds"),
    _step(
        "train init",
        f"train {_SMALL} --train.store store --train.epochs 1 --init-from seeds/seed-0 --out warm",
        "train seeds",
        "extract",
    ),
    _step(
        "train streamed",
        f"train {_SMALL} --train.epochs 1 --train.features streamed --train.num-workers 2 "
        "--out streamed",
        "sample",
    ),
    _step(
        "train leaked",
        f"train {_SMALL} --train.store store --train.leak-labels --train.epochs 1 --out leaked",
        "extract",
    ),
    _step("evaluate leaked", "evaluate leaked", "train leaked"),
    _step("train clusterings", f"train {_LEARNED} --out learned", "sample"),
    _step("evaluate clusterings", "evaluate learned", "train clusterings"),
    _step("kmeans", f"baseline kmeans {_SMALL} --train.store store --out kmeans", "extract"),
    _step("evaluate kmeans", "evaluate kmeans", "kmeans"),
    _step(
        "kmeans in context",
        f"baseline kmeans {_SMALL} --kmeans.context 0.5 --train.store store --out context",
        "extract",
    ),
    _step("evaluate kmeans in context", "evaluate context", "kmeans in context"),
    _step("kmeans-psi", "baseline kmeans-psi streamed", "train streamed"),
    _step("evaluate kmeans-psi", "evaluate streamed/kmeans-psi", "kmeans-psi"),
    _step("probe", f"baseline probe {_SMALL} --train.store store --out probe", "extract"),
    _step("probe-psi", "baseline probe-psi streamed", "train streamed"),
    _step("evaluate probe-psi", "evaluate streamed/probe-psi", "probe-psi"),
    _step("compare", "compare comparison.yaml --out comparison", "sample"),
    _step("tune", f"tune space.yaml {_SMALL} --train.epochs 1 --out sweep", "sample"),
    _step("table", "table sweep", "tune"),
    _step("report sweep", "report sweep --no-images", "tune"),
    _step("status sweep", "status sweep", "tune"),
    _step(
        "eigen",
        f"{_EIGEN} --data.train-split train --out spectra",
        "sample",
    ),
    _step(
        "eigen val",
        f"{_EIGEN} --data.train-split val --out spectra-val",
        "sample",
    ),
    _step("localize", "spectral localize spectra", "eigen"),
    _step("object", "spectral object spectra", "eigen"),
    _step("semantic", "spectral semantic spectra", "eigen"),
    _step("semantic on", "spectral semantic spectra --on spectra-val", "semantic", "eigen val"),
    _step("cluster-seg", "spectral semantic spectra --method cluster-seg", "eigen"),
    _step(
        "cluster-patch",
        "spectral semantic spectra --method cluster-patch --spectral.hungarian count",
        "eigen",
    ),
    _step(
        "selftrain",
        "spectral selftrain spectra --selftrain.steps 2 --selftrain.batch-size 2",
        "semantic",
    ),
    _step(
        "matte",
        "spectral matte sample/images/val_00000.jpg --out layers --max-side 64 --num-layers 3 "
        "--backbone.name raynef_vit_micro_patch16 --backbone.weights bundled",
        "sample",
    ),
    _step(
        "compare spectra", "spectral compare streamed sample/images --num-images 4", "kmeans-psi"
    ),
    _step(
        "tune spectral",
        f"tune spectral.yaml {_DSM} --data.train-split val --out spectral-sweep",
        "sample",
    ),
    _step(
        "distill",
        "distill --teacher vit_tiny_patch16_224 --teacher-weights teacher.safetensors "
        "--images demo/sample/images --steps 2 --batch-size 2 --out student.safetensors",
        "sample",
        "teacher",
    ),
    # ------------------------------------------------------------------ mistakes: exit status 2
    _step("no command", ""),
    _step("unknown command", "fly"),
    _step("unknown flag", "train --out x --train.wings 2"),
    _step("unknown preset", "train --recipe nowhere --out x"),
    _step("bad value", "train --recipe folder --data.root sample --graph.alpha -1 --out x"),
    _step("no data", "train --recipe folder --data.root nowhere --out x"),
    _step("no root", "train --recipe folder --out x"),
    _step("other recipe", f"train {_SMALL} --graph.alpha 0.5 --out run", "train longer"),
    _step("no run", "evaluate nowhere"),
    _step("no images", "predict run nowhere --out x", "train longer"),
    _step("into the images", "predict run demo/sample --out demo/sample/images", "train longer"),
    _step("no space", "tune nowhere --recipe folder --data.root sample --out x"),
    _step("no store", "spectral localize nowhere"),
    _step("no folder", "status nowhere"),
    _step("nothing to serve", "serve nowhere"),
    _step("nothing to submit", "submit"),
    _step("submit a path", "submit -- train --recipe folder --data.root here --out there"),
)
HELP = (
    "", "demo", "train", "evaluate", "predict", "extract", "baseline", "baseline kmeans",
    "baseline kmeans-psi", "baseline probe", "baseline probe-psi", "compare", "tune", "table",
    "data", "data check", "spectral", "spectral eigen", "spectral localize", "spectral object",
    "spectral semantic", "spectral selftrain", "spectral matte", "spectral compare", "plan",
    "report", "export", "name", "serve", "submit", "distill", "doctor", "status",
)  # fmt: skip
"""Commands whose ``--help`` names the flags that the record keeps."""
