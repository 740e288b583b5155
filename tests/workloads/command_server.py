"""Runs commands of pages, each in a fork of one process that has imported what they need.

A page has some forty commands, and most of the time of each would be imports, up to eight seconds
of a slow core. What comes after the imports is what a user's command does: `main` with the
arguments, in the folder, with the environment and the streams of whoever asked.

``python command_server.py FOLDER`` makes FOLDER/hyflexsim and FOLDER/python, which ask it.
"""

import gc
import json
import os
import runpy
import socket
import sys
from importlib import import_module
from pathlib import Path

IMPORTED = (
    "hyflexsim.workloads.cli.main",
    "hyflexsim.workloads.compression.accuracy",
    "hyflexsim.workloads.compression.pareto",
    "hyflexsim.workloads.values.executed",
    "hyflexsim.analysis.run.report",
    "matplotlib.backends.backend_agg",
    "pandas",
    "sklearn.datasets",
    "torch.export",
    "transformers.models.llama.modeling_llama",
    "transformers.models.vit.modeling_vit",
)
ASKS = """#!{python} -IS
import json, os, socket, sys

server = socket.socket(socket.AF_UNIX)
server.connect({address!r})
asked = json.dumps([{name!r}, sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
socket.send_fds(server, [asked], [0, 1, 2])
sys.exit(int(server.recv(16) or 70))
"""


def main(folder: Path) -> None:
    """Serve until killed; in a fork: do what was asked."""
    for module in IMPORTED:
        import_module(module)
    gc.freeze()
    address = str(folder / "socket")
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(address)
    listening.listen()
    for name in ("hyflexsim", "python"):
        file = folder / name
        file.write_text(ASKS.format(python=sys.executable, address=address, name=name))
        file.chmod(0o700)
    print("ready", flush=True)
    while True:
        asking, _ = listening.accept()
        asked, streams, *_ = socket.recv_fds(asking, 2**20, 3)
        process = os.fork()
        if process == 0:
            asking.close()
            listening.close()
            return run(*json.loads(asked), streams)
        for stream in streams:
            os.close(stream)
        code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        asking.send(str(code if code >= 0 else 128 - code).encode())
        asking.close()


def run(name: str, arguments: list[str], folder: str, env: dict[str, str], streams: list[int]):
    """One command in this process, which ends as it would have ended."""
    for own, stream in enumerate(streams):
        os.dup2(stream, own)
        os.close(stream)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(env)
    sys.argv[:] = [name, *arguments]
    if name == "hyflexsim":
        sys.modules["hyflexsim.workloads.cli.main"].main()
    elif arguments[0] == "-c":
        sys.path.insert(0, "")
        exec(compile(arguments[1], "<string>", "exec"), {"__name__": "__main__"})
    else:
        sys.argv.pop(0)
        sys.path.insert(0, str(Path(arguments[0]).parent))
        runpy.run_path(arguments[0], run_name="__main__")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
