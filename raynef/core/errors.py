"""What can go wrong by the user's hand, and what cannot be read."""


class UserError(ValueError):
    """The user's mistake: shown as one clear message, exit status 2, no traceback."""


class BadImageError(ValueError):
    """A file that cannot be used as an image; its message is the reason, without the name."""


class TooManyPixelsError(BadImageError):
    """An image that is larger than what is decoded."""


class DiskFullError(OSError):
    """No room, or no quota, for a file; its message is one line that names the path."""


class NonFiniteLossError(RuntimeError):
    """The loss of a training step is NaN or infinite; the run stops with step and rank."""


def require(condition: bool, parameter: str, rule: str, got: object) -> None:
    """Raise ``UserError`` "parameter X must be RULE, got V" unless ``condition`` holds."""
    if not condition:
        raise UserError(f"parameter {parameter} must be {rule}, got {got!r}")
