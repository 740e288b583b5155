"""AccelForge's ISAAC evaluates matrix products, in an interpreter that need not know hyflexsim.

``python peer_macro_run.py ASKED``, with ``{"rows": 128, "adc_bits": 8, "nm": 32, "products":
[["x", 128, 768, 768]]}``, prints one line of JSON: fJ a multiply-accumulate by component, and
seconds, of each product (name, tokens, inputs, outputs). See peer_macro.py.

AccelForge (CiMLoop's successor) brings the macro as an example: cells and drivers from NeuroSim
1.3, buffers from CACTI, converters from a survey's model. Its version 1.0.467 refuses the file for
one name that it does not define (``throughput_scale``, 1 by its context): a copy goes without.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import shutil
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

MACRO = "isaac_isca_2016"
COLUMNS, WEIGHT_CELLS, ARRAYS = 128, 4, 8
"""Of an array; of an 8-bit weight in 2-bit cells; of a macro: as in the example."""


def loader(folder: Path, asked: dict[str, Any]) -> ModuleType:
    """The example's own loader, over a copy of its files with the sizes that are asked for."""
    import accelforge  # noqa: PLC0415

    examples = Path(accelforge.__file__).parent.parent / "examples"
    copied = folder / "macros"
    shutil.copytree(examples / "arches" / "compute_in_memory", copied)
    file = copied / f"{MACRO}.yaml"
    text = file.read_text()
    for old, new in (
        (
            "throughput: 1 / cycle_period * cols_active_at_once * throughput_scale / 100",
            "throughput: 1 / cycle_period * cols_active_at_once / 100",
        ),
        ("adc_resolution: 8", f"adc_resolution: {asked['adc_bits']}"),
        ("tech_node: 32e-9", f"tech_node: {asked['nm']}e-9"),
        (
            "- name: rows_ARRAY_ROWS\n      fanout: 128",
            f"- name: rows_ARRAY_ROWS\n      fanout: {asked['rows']}",
        ),
    ):
        if text.count(old) != 1:
            raise SystemExit(f"{MACRO}.yaml of this version has {text.count(old)} times {old!r}")
        text = text.replace(old, new)
    file.write_text(text)
    spec = importlib.util.spec_from_file_location("load_spec", copied / "_load_spec.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def evaluate(module: ModuleType, rows: int, product: tuple[str, int, int, int]) -> dict[str, Any]:
    """The best mapping of one product on as many macros as hold its matrix at once."""
    name, tokens, inputs, outputs = product
    arrays = -(-inputs // rows) * -(-outputs * WEIGHT_CELLS // COLUMNS)
    macros = -(-arrays // ARRAYS)
    spec = module.get_spec(MACRO, add_dummy_main_memory=True, n_macros=macros)
    for rank, size in (("M", tokens), ("K", inputs), ("N", outputs)):
        spec.workload.rank_sizes[rank] = size
    for einsum in spec.workload.einsums:
        for access in einsum.tensor_accesses:
            access.bits_per_value = 8
    best = spec.map_workload_to_arch(print_progress=False)
    macs = tokens * inputs * outputs
    parts = best.energy(per_component=True)
    return {
        "name": name,
        "fj": {part: float(joules) / macs * 1e15 for part, joules in parts.items() if joules},
        "seconds": float(best.latency()),
        "arrays": ARRAYS * macros,
    }


def main() -> None:
    """Evaluate what the argument says."""
    asked = json.loads(sys.argv[1])
    try:
        version = metadata.version("accelforge")
    except metadata.PackageNotFoundError:
        print(json.dumps({"missing": "accelforge"}))
        return
    from accelforge.mapper.FFM.mappings import Mappings  # noqa: PLC0415
    from accelforge.util.parallel import set_n_parallel_jobs  # noqa: PLC0415

    Mappings.render = lambda *_, **__: ""  # draws every mapping, and fails without Graphviz
    set_n_parallel_jobs(1)
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.chdir(folder),  # it leaves files where it runs
        contextlib.redirect_stdout(io.StringIO()),
    ):
        module = loader(Path(folder), asked)
        found = [evaluate(module, asked["rows"], tuple(each)) for each in asked["products"]]
    print(json.dumps({"package": f"accelforge {version}", "products": found}))


if __name__ == "__main__":
    main()
