"""``python -m raynef``."""

from raynef.cli.main import main

if __name__ == "__main__":
    main()
