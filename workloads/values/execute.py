"""stub."""


def execute() -> None:
    """Stub."""
