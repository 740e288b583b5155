"""The process from which workers are forked: it imports once what a point needs, and no more.

It is a fresh interpreter and not a fork of the user's, whose threads and locks a fork would copy in
the middle of what they do. Workers are given points and give answers as lines of JSON, each over a
socket of its own. When a worker dies (out of memory, say), another is forked in its place, which
says so first.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import socket
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from hyflexsim.workloads.garbage import collect_less
from hyflexsim.workloads.points.done import PointFunction, attempt


def main() -> None:
    """Serve what a line of JSON on standard input asks for: ``function``, ``sockets``."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started this decides when it ends
    collect_less()
    asked = json.loads(sys.stdin.readline())
    sockets = [socket.socket(fileno=number) for number in asked["sockets"]]
    _end_with_whoever_asked(sockets)
    try:
        function = named(asked["function"])
    except Exception as error:
        for each in sockets:
            _send(each, {"broken": f"{type(error).__name__}: {error}"})
        return
    gc.freeze()  # what is there now is shared, as long as nobody touches it
    workers = {_fork(each, sockets, function, None): each for each in sockets}
    while workers:
        process, status = os.wait()
        own = workers.pop(process, None)
        if own is None:  # who waits for the end
            continue
        code = os.waitstatus_to_exitcode(status)
        if code:
            workers[_fork(own, sockets, function, how(code))] = own


def _end_with_whoever_asked(sockets: list[socket.socket]) -> None:
    """Have a process wait for the end of standard input, which whoever asked keeps open, and end
    them all then: one that is killed outright could not do so, and its points would go on.
    """
    if os.fork():
        return
    for each in sockets:
        each.close()
    while os.read(0, 1):
        pass
    os.killpg(os.getpgrp(), signal.SIGKILL)


def named(function: str) -> PointFunction:
    """The function that ``module:name`` means."""
    module, _, name = function.partition(":")
    found: PointFunction = getattr(import_module(module), name)
    return found


def how(code: int) -> str:
    """How a process ended, in words.

    >>> how(-9), how(3)
    ('it was killed by SIGKILL', 'it ended with exit code 3')
    """
    if code < 0:
        return f"it was killed by {signal.Signals(-code).name}"
    return f"it ended with exit code {code}"


def _fork(
    own: socket.socket, sockets: list[socket.socket], function: PointFunction, died: str | None
) -> int:
    process = os.fork()
    if process:
        return process
    code = 1
    try:
        for other in sockets:
            if other is not own:
                other.close()
        _work(own, function, died)
        code = 0
    finally:
        os._exit(code)


def _work(own: socket.socket, function: PointFunction, died: str | None) -> None:
    """Points until nobody asks for more."""
    try:
        _send(own, {"ready": died})
        for line in own.makefile("r", encoding="utf-8"):
            asked = json.loads(line)
            _send(own, {"done": attempt(function, asked["point"], asked["settings"])._asdict()})
    except OSError:  # whoever asked has gone
        return


def _send(own: socket.socket, message: Mapping[str, Any]) -> None:
    own.sendall(json.dumps(message).encode() + b"\n")


if __name__ == "__main__":
    main()
