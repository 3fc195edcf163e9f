"""How many keys it takes to name every cluster of a run on the page of ``raynef name``.

    python tests/benchmarks/bench_naming.py RUN [--groups N] [--pure 0.9]

Somebody who knows the right name of each cluster drives the page in headless Chromium: a group is
named where one name covers ``--pure`` of its pixels and split elsewhere, by the fewest keys that
the page offers. Right names are those of RUN's names.tsv, else the classes that raynef evaluate
found by labels. RUN is copied, and the copy's names are taken away first.

Prints one JSON line: keys and steps (a name or a split, however many keys) for each cluster, the
seconds that the page took for all, and the share of pixels whose name is the right one. Needs
playwright and Chromium.
"""

import argparse
import json
import shutil
import tempfile
import threading
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from raynef.models.folder import read_config, read_num_clusters, segmenter_folder
from raynef.models.names import HISTORY, NAMES, Names, read_names
from raynef.web.naming import page_of
from raynef.web.naming_server import LoopbackServer
from tests.chromium import browser


class Person:
    """Presses keys on the page, and counts them.

    Args:
        page: of playwright.
        truth: the right name of each cluster.
        shares: of the pixels, of each.
        pure: the share of a group that one name must cover.
    """

    def __init__(self, page: Any, truth: dict[int, str], shares: list[float], pure: float) -> None:
        self.page, self.truth, self.shares, self.pure = page, truth, shares, pure
        self.counts: Counter[str] = Counter()

    def work(self) -> None:
        """Until every cluster has a name."""
        while not self.page.inner_text("#left").startswith("0 left"):
            clusters = [int(k) for k in self.page.get_attribute("main", "data-clusters").split()]
            weights: defaultdict[str, float] = defaultdict(float)
            for cluster in clusters:
                weights[self.truth[cluster]] += self.shares[cluster] + 1e-9
            name, weight = max(weights.items(), key=lambda item: item[1])
            self.counts["steps"] += 1
            if weight >= self.pure * sum(weights.values()):
                self.give(name)
            else:
                self.counts["splits"] += 1
                self.press("k")

    def give(self, name: str) -> None:
        """A name, by the fewest keys."""
        if self.page.inner_text('[data-key="g"] span').endswith(f": {name}"):
            self.press("g")
            return
        chips = self.page.locator("#known button span").all_inner_texts()[:9]
        if name in chips:
            self.press(str(chips.index(name) + 1))
            return
        self.press("Enter")
        for letter in name:
            self.press(letter)
            if self.page.input_value("#name") == name:
                break
        self.press("Enter")

    def press(self, key: str) -> None:
        self.counts["keys"] += 1
        self.page.keyboard.press(key)


def truth_of(segmenter: Path, num_clusters: int) -> dict[int, str]:
    """The right name of every cluster."""
    names = dict(read_names(segmenter, num_clusters).names)
    mapping = read_config(segmenter)["mapping"]
    if not names and mapping:
        found = zip(range(num_clusters), mapping["classes"], strict=True)
        names = {k: mapping["class_names"][c] if c >= 0 else "noise" for k, c in found}
    if len(names) < num_clusters:
        raise SystemExit(f"{segmenter} has right names for {len(names)} of {num_clusters} clusters")
    return names


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--groups", type=int, default=None)
    parser.add_argument("--pure", type=float, default=0.9)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        left_out = shutil.ignore_patterns("store", "checkpoints")
        run = Path(shutil.copytree(args.run, Path(scratch) / "run", ignore=left_out))
        segmenter = segmenter_folder(run)
        num_clusters = read_num_clusters(segmenter)
        truth = truth_of(segmenter, num_clusters)
        for name in (NAMES, HISTORY):
            (segmenter / name).unlink(missing_ok=True)
        begun = time.monotonic()
        shown = page_of(run, cut=args.groups)
        crops_s = time.monotonic() - begun
        shares = shown.shares().tolist()
        server = LoopbackServer(shown.get, shown.post)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with server, browser() as chromium:
            page = chromium.new_page()
            page.goto(server.address)
            page.wait_for_selector("h1 small")
            person = Person(page, truth, shares, args.pure)
            begun = time.monotonic()
            person.work()
            page.wait_for_selector("#saving", state="hidden")
            seconds = time.monotonic() - begun
            server.shutdown()
        found = read_names(segmenter, num_clusters)
        result = {
            "run": str(args.run),
            "num_clusters": num_clusters,
            "names": len(set(truth.values())),
            "groups": shown.clusters()["groups"],
            "keys_per_cluster": round(person.counts["keys"] / num_clusters, 2),
            "steps_per_cluster": round(person.counts["steps"] / num_clusters, 2),
            **person.counts,
            "page_s": round(seconds, 1),
            "crops_s": round(crops_s, 1),
            "right": round(right(found, truth, shares), 4),
        }
    print(json.dumps(result), flush=True)


def right(found: Names, truth: dict[int, str], shares: list[float]) -> float:
    """The share of pixels whose cluster has its right name."""
    return sum(share for k, share in enumerate(shares) if found.names.get(k) == truth[k])


if __name__ == "__main__":
    main()
