"""Segments an image by ONNX Runtime alone: python onnx_example.py segmenter.onnx photo.jpg map.png

Needs onnxruntime, numpy and pillow.
"""

import json
import sys

import numpy as np
import onnxruntime
from PIL import Image

model, photo, out = sys.argv[1:]
session = onnxruntime.InferenceSession(model)
about = json.loads(session.get_modelmeta().custom_metadata_map["raynef.json"])
image = Image.open(photo).convert("RGB")
patch = about["patch_size"]  # sides are whole numbers of patches
scale = about["short_side"] / min(image.size) / patch
size = [int(side * scale + 0.5) * patch for side in image.size]
small = image.resize(size, Image.Resampling.BILINEAR)
(clusters,) = session.run(["clusters"], {"images": np.asarray(small)[None]})
full = Image.fromarray(clusters[0].astype(np.uint16)).resize(image.size, Image.Resampling.NEAREST)
full.save(
    out
)  # the cluster of each pixel; about["class_names"][about["classes"][cluster]] its name
