"""``raynef serve``."""

from pathlib import Path
from typing import ClassVar

from raynef.cli.command import Address, Command, Positional, Result


class Serve(Command):
    """Segment images over HTTP, on Ray Serve, until Ctrl-C."""

    loads_torch: ClassVar[bool] = True
    run: Positional[Path]
    """Folder of the run, or of a segmenter."""
    host: str = "127.0.0.1"
    """Address to listen on. Any but this machine's loopback demands a token."""
    port: int = 8000
    """Port to listen on; 0 for any that is free."""
    token_file: Path | None = None
    """File with the token that requests must bring; else RAYNEF_TOKEN has it."""
    replicas: int = 1
    """Processes that segment, each with the whole model; the cores are shared out among them."""
    max_concurrent: int = 32
    """Requests that are taken at once; the next ones are answered 503 and Retry-After."""
    max_megabytes: int = 32
    """Of a request."""
    max_megapixels: int = 50
    """Of an image; what is larger is not decoded."""
    max_batch: int = 8
    """Images that a replica segments at once."""
    timeout: float = 60
    """Seconds until a request is given up."""
    address: Address = None

    def execute(self) -> Result:
        from raynef.web.serve import serve

        return serve(
            self.run,
            host=self.host,
            port=self.port,
            token_file=self.token_file,
            replicas=self.replicas,
            max_concurrent=self.max_concurrent,
            max_megabytes=self.max_megabytes,
            max_megapixels=self.max_megapixels,
            max_batch=self.max_batch,
            timeout_s=self.timeout,
            address=self.address,
        )
