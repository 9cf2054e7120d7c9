"""The service: HTTP, the durable queue, blobs, and the supervision of the worker. Never imports torch."""


def main() -> int:
    """Serve until told to leave; arguments come from `sys.argv`. Returns the exit code."""
    from . import program

    return program.main()
