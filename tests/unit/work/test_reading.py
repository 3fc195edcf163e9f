"""What a task's process loads."""

import json
import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "task",
    ["reading.make_views", "reading.read_examples", "reading.read_photos", "reading.find_bad"],
)
def test_tasks_that_read_images_load_no_torch(task):
    """Each of Ray's processes would, for seconds and half a gigabyte."""
    module, _, name = task.partition(".")
    code = (
        "import json, sys\n"
        "from raynef.cluster.stream import _Sealed\n"
        f"from raynef.work.{module} import {name}\n"
        "from raynef.jobs.shards import ShardUnit\n"
        f"_Sealed({name})\n"
        "heavy = ('torch', 'timm', 'torchvision', 'faiss', 'scipy')\n"
        "print(json.dumps([name for name in heavy if name in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []
