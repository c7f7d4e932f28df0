"""The program: `wisecommittee`, or `python -m wisecommittee`."""

import contextlib
import os
import signal
import sys

INTERRUPTED = 130


def _interrupted(number: int, frame: object) -> None:
    os.write(2, b"error: interrupted\n")
    os._exit(INTERRUPTED)


def main() -> None:
    """The command line. While it loads, half a second, Ctrl-C is no traceback of whatever was being imported."""
    ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if ours:
        signal.signal(signal.SIGINT, _interrupted)
    from wisecommittee.cli import main as command_line  # type: ignore[import-not-found]  # stands in cli/

    if ours:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        command_line()
    except SystemExit as ended:
        if ours:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is said and done
        if ended.code == INTERRUPTED:
            # Threads are not waited for; and where the interrupt was in `exec`, Python would end by a signal instead.
            with contextlib.suppress(OSError):
                sys.stdout.flush()
            os._exit(INTERRUPTED)
        raise


if __name__ == "__main__":
    main()
