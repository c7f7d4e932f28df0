"""The program: `wisecommittee`, or `python -m wisecommittee`."""

# Only what is there when Python starts: `_signal` is built in, `signal` would be found and read first.
import _signal  # type: ignore[import-not-found]
import os
import sys

INTERRUPTED = 130


def _interrupted(*_: object) -> None:
    os.write(2, b"error: interrupted\n")
    os._exit(INTERRUPTED)


# Whatever is imported from here on, Ctrl-C is no traceback of it. A handler that was there, or no hearing, is kept.
OURS = _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler
if OURS:
    _signal.signal(_signal.SIGINT, _interrupted)


def main() -> None:
    """The command line. From the begin of a command to its end Ctrl-C is a KeyboardInterrupt."""
    import contextlib

    from wisecommittee.cli import main as command_line  # type: ignore[import-not-found]  # stands in cli/

    try:
        try:
            if OURS:
                _signal.signal(_signal.SIGINT, _signal.default_int_handler)
            command_line()
        finally:
            if OURS:
                _signal.signal(_signal.SIGINT, _signal.SIG_IGN)  # all is said and done
    except KeyboardInterrupt:
        _interrupted()
    except SystemExit as ended:
        if ended.code == INTERRUPTED:
            # Threads are not waited for; and where the interrupt was in `exec`, Python would end by a signal instead.
            with contextlib.suppress(OSError):
                sys.stdout.flush()
            os._exit(INTERRUPTED)
        raise


if __name__ == "__main__":
    main()
