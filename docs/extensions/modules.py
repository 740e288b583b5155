"""The reference of modules, made from docstrings: a page a room, and a table of public names.

Which modules: those that public names live in, and those that one needs to write a chip, a kind of
unit, an engine's component or a study of one's own. Others are read in the source.
"""

import importlib
import inspect
import re
from collections.abc import Iterable
from pathlib import Path

import generated
from sphinx.application import Sphinx

from hyflexsim import analysis, workloads

ROOMS: dict[str, tuple[str, str]] = {
    "sim": (
        "The machine",
        "errors op_classes graph vocabulary routing wear energy power",
    ),
    "sim.chip": (
        "What a chip is",
        "chip load kind links parameters provenance rules service measure area",
    ),
    "sim.units": (
        "What a unit does",
        "catalogue analog_array analog_parameters tiling crossbar adc shift_add nor_pim sfu adder "
        "mac_array sram dram near_bank threshold selector",
    ),
    "sim.placement": ("Which weight lies where", "mapping weight cells memory faults"),
    "sim.plan": ("What each token waits for", "plan planner copies given_copies work chosen"),
    "sim.engine": ("Playing a plan", "engines engine request result trace servers host"),
    "models": ("Algorithms in torch", "training optimisers schedules mimetic patch_dropout errors"),
    "models.part": ("The Particle Transformer", "transformer attention checkpoint topk"),
    "models.lowrank": (
        "Low-rank layers",
        "layers compress checkpoint rank_learning soft_threshold rank_baselines redistribution",
    ),
    "models.cells": (
        "Numbers on cells",
        "quantization rram_noise noise_calibration crossbar on_chip",
    ),
    "workloads.scenario": ("Scenarios", "scenario schema arrivals lengths trace_file checkpoints"),
    "workloads.run": ("Runs", "run prepare summary stream"),
    "workloads.compression": (
        "Compressed models and their scores",
        "judged_run recipe stages accuracy devices machines",
    ),
    "workloads.extraction": (
        "From models to graphs",
        "extract model_zoo weights ranks families unreached",
    ),
    "workloads.jets": ("Jets", "jets jetclass"),
    "workloads.sparsity": ("Sparse attention", "bound"),
    "workloads.points": ("Points of sweeps and studies", "engine processes cluster study store"),
    "workloads.sweeping": ("Sweeps", "sweep sweep_file axes designs results"),
}
"""Rooms: title, files. Those of analysis follow from its public names."""


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("builder-inited", make)
    return {"parallel_read_safe": True}


def make(app: Sphinx) -> None:
    """Write the pages."""
    rooms = {room: (title, files.split()) for room, (title, files) in ROOMS.items()}
    for file in sorted(analysis._FILES):
        room, name = f"analysis.{file.rpartition('.')[0]}", file.rpartition(".")[2]
        rooms.setdefault(room, (f"Analysis: {room.rpartition('.')[2]}", []))[1].append(name)
    pages = {f"{room}.rst": page(room, *what) for room, what in rooms.items()}
    pages["index.rst"] = index(rooms)
    generated.write(Path(app.srcdir) / "reference" / "generated" / "modules", pages)


def page(room: str, title: str, files: Iterable[str]) -> str:
    """The modules of a room."""
    title = f"{title}: ``{room}``"
    parts = [title, "=" * len(title), ""]
    for file in files:
        parts += [file, "-" * len(file), "", f".. automodule:: hyflexsim.{room}.{file}", ""]
    return "\n".join(parts)


def index(rooms: Iterable[str]) -> str:
    """Public names with what they are, then the rooms."""
    parts = ["Python", "======", ""]
    for module in (workloads, analysis):
        title = f"from {module.__name__}"
        parts += [title, "-" * len(title), "", ".. list-table::", "   :widths: 30 70", ""]
        for name in sorted(module.__all__, key=str.lower):
            parts += [f"   * - {link(module.__name__, module._HOME[name], name)}"]
            parts += [f"     - {summary(getattr(module, name))}"]
        parts.append("")
    parts += ["By room", "-------", "", ".. toctree::", ""]
    return "\n".join([*parts, *(f"   {room}" for room in rooms), ""])


def link(package: str, file: str, name: str) -> str:
    """A reference to where a public name is documented."""
    thing = getattr(importlib.import_module(f"{package}.{file}"), name)
    role = "class" if inspect.isclass(thing) else "func" if callable(thing) else "data"
    return f":py:{role}:`{name} <{package}.{file}.{name}>`"


def summary(thing: object) -> str:
    """The first line of what is said of a thing; of a table, what it is."""
    if not callable(thing):
        return "A table of names; see there."
    first = (inspect.getdoc(thing) or "").partition("\n")[0]
    return re.sub(r":\w+:`~?([^`]*)`", r"``\1``", first).replace("|", "\\|")
