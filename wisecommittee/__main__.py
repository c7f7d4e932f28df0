"""The program: `wisecommittee`, or `python -m wisecommittee`."""

import os
import signal


def _interrupted(number: int, frame: object) -> None:
    os.write(2, b"error: interrupted\n")
    os._exit(130)


def main() -> None:
    """The command line. While it loads, half a second, Ctrl-C is no traceback of whatever was being imported."""
    ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if ours:
        signal.signal(signal.SIGINT, _interrupted)
    from wisecommittee.cli import main as command_line  # type: ignore[import-not-found]  # stands in cli/

    if ours:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    command_line()


if __name__ == "__main__":
    main()
