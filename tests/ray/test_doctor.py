"""raynef doctor: every kind of problem is provoked, and has its verdict and its advice."""

import re


def test_a_cluster(local_ray):
    from raynef.ops.doctor.cluster import cluster_findings

    cluster, *nodes = cluster_findings("auto")
    assert (cluster.name, cluster.verdict) == ("cluster", "ok")
    assert re.match(r"auto: 1 node\(s\), \d+ CPUs, \d GPUs, ", cluster.found)
    assert [(node.verdict, node.found) for node in nodes] == [("ok", "the same versions as here")]
