def main() -> int:
    """Entry point."""
    raise NotImplementedError
