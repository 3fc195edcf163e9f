"""What the service counts, in the form that Prometheus reads."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_PATHS = frozenset({"/predict", "/legend", "/metrics", "/healthz", "/docs", "/openapi.json"})
_SECONDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


class ServeMetrics:
    """Counts of one service.

    Attributes:
        num_images: that were segmented.
    """

    def __init__(self) -> None:
        self.num_images = 0
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "raynef_serve_requests",
            "Requests, by path and status; 499: the client left",
            ("path", "status"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "raynef_serve_seconds",
            "Seconds of a segmented image, from its request to its answer",
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._batch_size = Histogram(
            "raynef_serve_batch_size",
            "Images that were segmented at once, for each image",
            buckets=_SIZES,
            registry=self._registry,
        )
        self.in_flight = Gauge(
            "raynef_serve_in_flight",
            "Images that are read, segmented or waiting",
            registry=self._registry,
        )

    def segmented(self, *, seconds: float, batch_size: int) -> None:
        """An image, from its request to its answer."""
        self.num_images += 1
        self._seconds.observe(seconds)
        self._batch_size.observe(batch_size)

    def count(self, path: str, status: int) -> None:
        """A request that has its answer."""
        known = path if path in _PATHS else "other"
        self._requests.labels(known, str(status)).inc()

    def text(self) -> bytes:
        """All of it."""
        return generate_latest(self._registry)
