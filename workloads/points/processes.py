"""Points on this machine, a process for each core: see zygote.py for the other end."""

from __future__ import annotations

import json
import os
import selectors
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import IO, Any

from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.points.done import Done, PointFunction

CODE = "from hyflexsim.workloads.points.zygote import main; main()"
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
"""Processes share the cores, and sums come out the same however many there are."""


GRACE_S = 5.0


class Processes:
    """Workers forked from one process that has imported `function`'s module."""

    def __init__(self, function: PointFunction, workers: int) -> None:
        self.workers = workers
        pairs = [socket.socketpair() for _ in range(workers)]
        self._workers = [_Worker(own) for own, _ in pairs]
        self._ready = selectors.DefaultSelector()
        for worker in self._workers:
            self._ready.register(worker.socket, selectors.EVENT_READ, worker)
        numbers = [other.fileno() for _, other in pairs]
        self._zygote = subprocess.Popen(
            [sys.executable, "-P", "-c", CODE],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=numbers,
            start_new_session=True,  # Ctrl-C on the terminal is for this process alone
            env=os.environ | ONE_THREAD | {"PYTHONPATH": os.pathsep.join(_path())},
        )
        for _, other in pairs:
            other.close()
        asked = {"function": name_of(function), "sockets": numbers}
        with suppress(OSError):  # it has gone: finished() will see
            _pipe(self._zygote).write(json.dumps(asked).encode() + b"\n")
            _pipe(self._zygote).flush()

    def idle(self) -> list[str]:
        """See :class:`~hyflexsim.workloads.points.executors.Executor`."""
        return [worker.group for worker in self._workers if worker.point is None]

    def submit(self, point: int, settings: Mapping[str, Any], group: str = "") -> None:
        """See :class:`~hyflexsim.workloads.points.executors.Executor`."""
        free = [worker for worker in self._workers if worker.point is None]
        worker = next((worker for worker in free if worker.group == group), free[0])
        worker.point, worker.group = point, group
        with suppress(OSError):
            worker.send({"point": point, "settings": settings})

    def finished(self) -> list[Done]:
        """See :class:`~hyflexsim.workloads.points.executors.Executor`."""
        found: list[Done] = []
        while not found and any(worker.point is not None for worker in self._workers):
            for key, _ in self._ready.select():
                worker: _Worker = key.data
                found += [done for done in map(worker.heard, worker.lines()) if done is not None]
        return found

    def close(self) -> None:
        """End all processes: those without a point by themselves, the others at once."""
        idle = all(worker.point is None for worker in self._workers)
        for worker in self._workers:
            worker.socket.close()
        self._ready.close()
        with suppress(subprocess.TimeoutExpired):
            self._zygote.wait(GRACE_S if idle else 0)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._zygote.pid, signal.SIGKILL)
        self._zygote.wait()
        with suppress(OSError):
            _pipe(self._zygote).close()


class _Worker:
    """This end of a worker's socket, the point that it has, the group of its last one."""

    def __init__(self, own: socket.socket) -> None:
        self.socket = own
        self.point: int | None = None
        self.group = ""
        self._begun = b""

    def send(self, message: Mapping[str, Any]) -> None:
        self.socket.sendall(json.dumps(message).encode() + b"\n")

    def lines(self) -> list[bytes]:
        """What it has said by now, whole lines."""
        said = self.socket.recv(2**16)
        if not said:
            raise InputError("sweep: the workers' process has ended; --workers 0 does without")
        *whole, self._begun = (self._begun + said).split(b"\n")
        return whole

    def heard(self, line: bytes) -> Done | None:
        message = json.loads(line)
        if "broken" in message:
            raise InputError(f"sweep: workers cannot import the function: {message['broken']}")
        if "done" in message:
            self.point = None
            return Done(**message["done"])
        if message["ready"] is None:
            return None
        if self.point is None:
            raise InputError(f"sweep: a worker without a point has ended: {message['ready']}")
        died = Done(self.point, {}, f"its process has ended: {message['ready']}", 0.0, 0.0)
        self.point = None
        return died


def name_of(function: PointFunction) -> str:
    """``module:name``, by which other processes import a function.

    Raises InputError for one that they cannot.
    """
    module, name = function.__module__, getattr(function, "__qualname__", "<")
    if module == "__main__" or "<" in name or "." in name:
        raise InputError(
            "sweep: other processes must be able to import the function of a point by its name; "
            f"got {name} of {module} (workers=0 computes here)"
        )
    return f"{module}:{name}"


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _path() -> list[str]:
    """Where modules are found here."""
    return [folder or os.getcwd() for folder in sys.path]


def _pipe(process: subprocess.Popen[bytes]) -> IO[bytes]:
    assert process.stdin is not None
    return process.stdin
