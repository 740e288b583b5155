"""Machine code that later processes load: never the wrong one, never a damaged one."""

import os
import subprocess
import sys

import llvmlite.binding as llvm
import numpy as np
import pytest

from hyflexsim.sim import cache
from hyflexsim.sim.engine.compiled import machine_code, sums
from hyflexsim.sim.engine.compiled.machine_code import Kernel

DOUBLE = '''
def run(numbers):
    """Double each."""
    for i in range(len(numbers)):
        numbers[i] = 2 * numbers[i]
    return len(numbers)


def failing(numbers):
    """Divide by nothing."""
    return numbers[0] // numbers[1]


def printing(numbers):
    """Call something outside."""
    print(numbers[0])
    return 7
'''


@pytest.fixture
def kernel(tmp_path, monkeypatch):
    """Kernels of a module of the test's own, in a cache of its own."""
    monkeypatch.setenv("HYFLEXSIM_CACHE", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "doubling.py").write_text(DOUBLE)
    yield lambda name="run": Kernel("doubling", name, ())
    sys.modules.pop("doubling", None)


def kept(tmp_path):
    return sorted((tmp_path / "cache" / f"user-{os.getuid()}").iterdir())


def no_compiler(*_):
    raise AssertionError("compiled again")


def test_kept_code_does_the_same_without_a_compiler(kernel, tmp_path, monkeypatch):
    numbers = np.array([1, 2, 3])
    assert kernel()(numbers) == 3
    assert len(kept(tmp_path)) == 1
    monkeypatch.setattr(Kernel, "_compile", no_compiler)
    assert kernel()(numbers) == 3
    assert numbers.tolist() == [4, 8, 12]


@pytest.mark.parametrize("what", ["get_host_cpu_name", "get_process_triple"])
def test_code_for_another_machine_is_not_loaded(kernel, monkeypatch, what):
    kernel()(np.array([1]))
    monkeypatch.setattr(Kernel, "_compile", no_compiler)
    assert kernel()(np.array([1])) == 1
    monkeypatch.setattr(machine_code.llvm, what, lambda: "another")
    with pytest.raises(AssertionError, match="compiled again"):
        kernel()(np.array([1]))


def test_code_follows_versions_sources_types_and_environment(kernel, monkeypatch):
    run = kernel()
    types = machine_code._types((np.array([1]),))
    keys = {run._key(types), run._key(machine_code._types((np.array([1], dtype=np.int32),)))}
    keys.add(Kernel("doubling", "run", ("sums",))._key(types))
    monkeypatch.setenv("NUMBA_OPT", "1")
    keys.add(run._key(types))
    monkeypatch.setattr(machine_code.metadata, "version", lambda package: "0")
    keys.add(run._key(types))
    assert len(keys) == 5


def test_a_damaged_file_is_made_anew(kernel, tmp_path, monkeypatch):
    kernel()(np.array([1]))
    (file,) = kept(tmp_path)
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    numbers = np.array([5])
    assert kernel()(numbers) == 1
    assert numbers.tolist() == [10]
    monkeypatch.setattr(Kernel, "_compile", no_compiler)
    assert kernel()(numbers) == 1


def planted():
    """An object file with a function of the right name that does something else."""
    module = llvm.parse_assembly(
        f"define i32 @{machine_code._SYMBOL}(ptr %result, ptr %exception) {{"
        "store i64 666, ptr %result\nret i32 0 }"
    )
    return machine_code._machine().emit_object(module)


@pytest.mark.parametrize("opened", ["folder", "file"])
def test_code_that_others_can_have_written_is_compiled_anew(kernel, tmp_path, opened):
    """With its right digest; that it would run where it lies in our own folder is shown first."""
    kernel()(np.array([1]))
    (file,) = kept(tmp_path)
    cache.keep(file.name, planted())
    assert kernel()(np.array([5])) == 666
    (file if opened == "file" else file.parent).chmod(0o777)
    numbers = np.array([5])
    assert kernel()(numbers) == 1
    assert numbers.tolist() == [10]


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        bytes(1000),
        b"MZ" + bytes(1000),
        b"\x7fELF" + bytes(1000),
        np.random.default_rng(1).bytes(5000),
        "another symbol",
    ],
    ids=["empty", "zeros", "exe", "elf", "random", "symbol"],
)
def test_garbage_under_a_right_digest_is_compiled_anew(kernel, tmp_path, garbage):
    kernel()(np.array([1]))
    (file,) = kept(tmp_path)
    if isinstance(garbage, str):
        garbage = planted().replace(b"hyflexsim", b"otherwise")
    cache.keep(file.name, garbage)
    numbers = np.array([5])
    assert kernel()(numbers) == 1
    assert numbers.tolist() == [10]


def test_a_function_that_calls_something_is_left_to_numba(kernel, tmp_path, capfd):
    assert kernel("printing")(np.array([3])) == 7
    assert kept(tmp_path) == []


def test_a_function_that_fails_says_so(kernel):
    with pytest.raises(RuntimeError, match="stopped with status"):
        kernel("failing")(np.array([1, 0]))


def test_arguments_of_other_types_are_refused(kernel):
    run = kernel()
    run(np.array([1]))
    with pytest.raises(TypeError, match="types of the first call"):
        run(np.array([1.0]))
    with pytest.raises(ValueError, match="C-contiguous"):
        run(np.arange(4)[::2])


def test_a_folder_that_cannot_be_written_costs_only_time(kernel, tmp_path, monkeypatch):
    (tmp_path / "cache").write_text("a file")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert kernel()(np.array([1])) == 1


def test_a_second_process_imports_no_numba():
    code = (
        "import sys; from hyflexsim.sim.engine.compiled import compiled;"
        "from hyflexsim.sim.engine.request import Request;"
        "from hyflexsim.sim.plan.plan import Component, Plan, Step;"
        "from hyflexsim.sim.chip.service import Rate;"
        "step = Step('host', 'host', 'host_port', 'l', lanes=(0,), rate=Rate(fixed=7));"
        "plan = Plan((step,), (Component('port', 'host_port'),), frozenset({0}));"
        "assert compiled.play(plan, [Request(0, 4)]).finished == [28];"
        "print('numba' in sys.modules)"
    )
    command = [sys.executable, "-c", code]
    subprocess.run(command, check=True, capture_output=True)
    second = subprocess.run(command, check=True, capture_output=True, text=True)
    assert second.stdout == "False\n"


def test_the_sources_named_are_those_that_are_used():
    from hyflexsim.sim.engine import tally  # noqa: PLC0415
    from hyflexsim.sim.engine.compiled import compiled  # noqa: PLC0415

    assert sums.__name__ == tally.ADD.module
    used = {"loop", "queues", "growing", "sessions", "wheel", "registers", "sums"}
    assert set(compiled.RUN.sources) == used
