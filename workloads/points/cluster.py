"""Points on the workers of a Dask cluster that is there already: hyflexsim[cluster].

Workers need the same version of hyflexsim, and see the files that a scenario names. Each computes
one point at a time, whatever its number of threads; ``dask worker --nthreads 1 --nworkers N`` uses
N cores.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata
from typing import Any

from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.points.done import Done, PointFunction, attempt
from hyflexsim.workloads.points.processes import name_of
from hyflexsim.workloads.points.zygote import named

PATIENCE = "10s"
"""How long a scheduler may take to answer."""


class Cluster:
    """Workers of the scheduler at `address`.

    Raises InputError: distributed is not installed, nobody answers, no workers, or such with
    another version of hyflexsim.
    """

    def __init__(self, function: PointFunction, address: str) -> None:
        try:
            import distributed  # noqa: PLC0415 (an extra)
        except ImportError:
            raise InputError("--dask needs distributed: pip install 'hyflexsim[cluster]'") from None
        self._function = name_of(function)
        try:
            self._client = distributed.Client(address, timeout=PATIENCE, set_as_default=False)
        except (OSError, ValueError, TypeError):
            raise InputError(
                f"--dask must be the address of a scheduler, as tcp://host:8786; nobody answers at "
                f"{address!r}"
            ) from None
        try:
            self.workers = len(self._client.nthreads())
            self._check(address)
        except BaseException:
            self._client.close()
            raise
        self._over = distributed.as_completed(loop=self._client.loop)
        self._begun: dict[str, tuple[int, Any]] = {}

    def idle(self) -> list[str]:
        """See :class:`~hyflexsim.workloads.points.executors.Executor`; two points a worker, so
        that none waits for its next.
        """
        return [""] * (2 * self.workers - len(self._begun))

    def submit(self, point: int, settings: Mapping[str, Any], group: str = "") -> None:
        """See :class:`~hyflexsim.workloads.points.executors.Executor`."""
        future = self._client.submit(compute, self._function, point, dict(settings), pure=False)
        self._begun[future.key] = point, future
        self._over.add(future)

    def finished(self) -> list[Done]:
        """See :class:`~hyflexsim.workloads.points.executors.Executor`."""
        return [self._done(future) for future in self._over.next_batch()]

    def close(self) -> None:
        """End what has begun, leave the cluster as it was."""
        self._client.cancel([future for _, future in self._begun.values()])
        self._client.close()

    def _done(self, future: Any) -> Done:
        point, _ = self._begun.pop(future.key)
        error = future.exception()
        if error is None:
            return Done(**future.result())
        words = " ".join(str(error).split())  # attempt() lets nothing through: a worker has gone
        return Done(point, {}, f"{type(error).__name__}: {words}", 0.0, 0.0)

    def _check(self, address: str) -> None:
        if not self.workers:
            raise InputError(f"--dask: the scheduler at {address} has no workers")
        own = metadata.version("hyflexsim")
        try:
            versions = set(self._client.run(metadata.version, "hyflexsim").values())
        except metadata.PackageNotFoundError:
            versions = {"none"}
        if versions != {own}:
            found = ", ".join(sorted(versions))
            raise InputError(f"--dask: workers must have hyflexsim {own}; they have {found}")


def compute(function: str, point: int, settings: Mapping[str, Any]) -> dict[str, Any]:
    """A point, on a worker; the fields of a Done."""
    return attempt(named(function), point, settings)._asdict()
