"""Functions of numba's as machine code that the next process loads without numba.

Importing numba and what it sets up when a first function is loaded take longer than all the rest of
a second run's start. Our loops allocate nothing and call nothing, so nothing of numba is needed to
run them: numba compiles a function once, LLVM's object code is kept, and later processes load it
with llvmlite alone and call it through ctypes.

Kept code is found by a hash of all that it follows from: the sources, numba's and llvmlite's
versions, the processor with its features, numba's environment variables and the types of the
arguments. So code for another processor or version is never loaded; nor is a damaged file, or one
that others can have written (``sim/cache.py``).

How numba hands arguments over (its calling convention is the same for all functions): where to put
the result, where to put an exception, and of each array seven numbers and more, with all tuples
unpacked::

    int32 function(result*, exception*, owner, parent, items, itemsize, data, shape..., strides...)

A function that turns out to be otherwise, or calls something, is left to numba.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib
import os
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import llvmlite
import llvmlite.binding as llvm
import numpy as np

from hyflexsim.sim import cache

OPTIONS = {"_nrt": False}  # no reference counts: nothing is allocated
BARE = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
_SYMBOL = "hyflexsim_kernel"
_HEAD = 20  # bytes of an ELF file: magic, class, byte order, type, machine

Call = Callable[[tuple[Any, ...]], Any]


class Kernel:
    """A function of arrays and tuples of arrays, compiled or loaded when it is first called.

    ``module`` and ``name``: a function written for numba. ``sources``: files beside this one whose
    change makes kept code useless. All arrays must be C-contiguous. It returns an integer.
    """

    def __init__(self, module: str, name: str, sources: tuple[str, ...]) -> None:
        self.module = module
        self.name = name
        self.sources = sources
        self._types: Any = None
        self._call: Call | None = None

    def __call__(self, *arguments: Any) -> Any:
        """Run it. Raises TypeError for arguments of other types than those of the first call."""
        types = _types(arguments)
        if self._call is None:
            self._types = types
            name = f"code-{self._key(types)}"
            self._call = self._load(name) or self._compile(arguments, name)
        if types != self._types:
            raise TypeError(f"{self.name}: arguments must have the types of the first call")
        return self._call(arguments)

    def _key(self, types: Any) -> str:
        here = Path(__file__).parent
        digest = hashlib.sha256()
        for source in (*self.sources, "machine_code"):
            digest.update((here / f"{source}.py").read_bytes())
        environment = sorted((k, v) for k, v in os.environ.items() if k.startswith("NUMBA_"))
        processor = llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()
        versions = metadata.version("numba"), llvmlite.__version__, np.__version__
        system = llvm.get_process_triple()
        digest.update(repr((self.name, types, environment, processor, versions, system)).encode())
        return digest.hexdigest()

    def _load(self, name: str) -> Call | None:
        code = cache.read(name)
        return None if code is None else _link(code)

    def _compile(self, arguments: tuple[Any, ...], name: str) -> Call:
        import numba  # noqa: PLC0415 (what this module is there to do without)

        function = getattr(importlib.import_module(self.module), self.name)
        signature = tuple(numba.typeof(argument) for argument in arguments)
        bare = numba.njit(**OPTIONS, **BARE)(function)
        bare.compile(signature)
        symbol = bare.overloads[signature].fndesc.llvm_func_name
        module = llvm.parse_assembly(bare.inspect_llvm(signature))
        if not _stands_alone(module, symbol, len(list(_flat(arguments)))):
            whole = numba.njit(**OPTIONS)(function)
            return lambda arguments: whole(*arguments)
        module.get_function(symbol).name = _SYMBOL
        code = _machine().emit_object(module)
        cache.keep(name, code)
        call = _link(code)
        if call is None:
            raise RuntimeError(f"no {_SYMBOL} in the machine code of {self.name}")
        return call


def _types(argument: Any) -> Any:
    if isinstance(argument, tuple):
        return tuple(_types(part) for part in argument)
    return argument.dtype, argument.ndim


def _flat(argument: Any) -> Iterator[int]:
    """Arguments as numba's functions get them."""
    if isinstance(argument, tuple):
        for part in argument:
            yield from _flat(part)
        return
    if not argument.flags.c_contiguous:
        raise ValueError("arrays must be C-contiguous")
    # not from __array_interface__, which describes every field of a record first
    yield from (0, 0, argument.size, argument.itemsize, argument.ctypes.data)
    yield from (*argument.shape, *argument.strides)


def _stands_alone(module: Any, symbol: str, arguments: int) -> bool:
    """Whether a function is called as expected and calls nothing outside."""
    function = module.get_function(symbol)
    outside = [f.name for f in module.functions if f.is_declaration]
    return len(list(function.arguments)) == arguments + 2 and all(
        name.startswith("llvm.") for name in outside
    )


def _machine() -> Any:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(),
        features=llvm.get_host_cpu_features().flatten(),
        opt=3,
        codemodel="jitdefault",
        jit=True,
    )


def _link(code: bytes) -> Call | None:
    """The function in an object file; None for a file not of this machine, or without it.

    LLVM ends the process over object files of other kinds, so the head is compared first.
    """
    machine = _machine()
    nothing = llvm.parse_assembly("")
    if code[:_HEAD] != machine.emit_object(nothing)[:_HEAD]:
        return None
    engine = llvm.create_mcjit_compiler(nothing, machine)
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    address = engine.get_function_address(_SYMBOL)
    if not address:
        return None

    def call(arguments: tuple[Any, ...], _alive: Any = engine) -> int:
        result, exception = ctypes.c_int64(), ctypes.c_void_p()
        numbers = list(_flat(arguments))
        kind = ctypes.CFUNCTYPE(
            ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, *[ctypes.c_int64] * len(numbers)
        )
        status = kind(address)(ctypes.addressof(result), ctypes.addressof(exception), *numbers)
        if status:
            raise RuntimeError(f"machine code has stopped with status {status}")
        return result.value

    return call
