"""Where the repository lies, for tests of its documents and its commands."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
