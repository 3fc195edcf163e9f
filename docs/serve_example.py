"""Saves the mask of an image's largest segment: python serve_example.py URL photo.jpg mask.png

Needs requests, numpy and pillow. URL is such as http://127.0.0.1:8000.
"""

import sys
from pathlib import Path

import numpy as np
import requests
from PIL import Image

url, photo, out = sys.argv[1:]
answer = requests.post(
    f"{url}/predict",
    params={"format": "json"},
    data=Path(photo).read_bytes(),
    headers={"Content-Type": "image/jpeg"},  # with a token: "Authorization": f"Bearer {token}"
    timeout=60,
)
if not answer.ok:
    sys.exit(answer.json()["error"])
largest = answer.json()["segments"][0]  # id, name, color, area, share, segmentation
counts, size = largest["segmentation"]["counts"], largest["segmentation"]["size"]
inside = np.arange(len(counts)) % 2 == 1  # pixels outside and inside take turns
mask = np.repeat(inside, counts).reshape(size, order="F")  # bool [H, W], of the upright image
Image.fromarray(mask).save(out)
