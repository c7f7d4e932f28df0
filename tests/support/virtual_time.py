"""An event loop whose clock jumps to the next timer as soon as nothing is left to do: no test waits or depends on
speed. For coroutines alone; threads need a real loop."""

from __future__ import annotations

import asyncio


class VirtualLoop(asyncio.SelectorEventLoop):
    """Fails where nothing would ever happen again."""

    def __init__(self):
        super().__init__()
        self.now = 0.0

    def time(self):
        return self.now

    def _run_once(self):
        waiting = [timer._when for timer in self._scheduled if not timer._cancelled]
        if not self._ready and not self._stopping:
            if not waiting:
                raise AssertionError("every task waits for something that never happens")
            self.now = max(self.now, min(waiting))
        super()._run_once()


def run(coroutine):
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(coroutine)
