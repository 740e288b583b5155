"""One peer evaluates a list of GEMMs, in an interpreter of its own that need not know hyflexsim.

``python peer_run.py scalesim '[["attention", 128, 768, 768], ...]'`` prints one line of JSON: wall
time without imports, peak memory, and what the peer gives. Each entry is (name, M, K, N): an M x K
input times a K x N matrix. See peers.py.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import logging
import resource
import sys
import tempfile
import time
from importlib import metadata
from importlib.resources import files
from pathlib import Path
from typing import Any

Gemm = tuple[str, int, int, int]


def zigzag(gemms: list[Gemm], folder: Path) -> str:
    """ZigZag's own analog in-memory chip and mapping, as they come with it."""
    from zigzag.api import get_hardware_performance_zigzag  # noqa: PLC0415

    logging.disable(logging.CRITICAL)
    inputs = files("zigzag") / "inputs"
    layers = [
        {
            "id": i,
            "name": name,
            "operator_type": "Conv",  # of 1 x 1: its analog energy model knows no other products
            "equation": "O[b][g][k][oy][ox]+=W[g][k][c][fy][fx]*I[b][g][c][iy][ix]",
            "dimension_relations": ["ix=1*ox+1*fx", "iy=1*oy+1*fy"],
            "loop_dims": ["B", "K", "G", "OX", "OY", "C", "FX", "FY"],
            "loop_sizes": [1, n, 1, m, 1, k, 1, 1],
            "pr_loop_dims": ["IX", "IY"],
            "pr_loop_sizes": [m, 1],
            "padding": [[0, 0], [0, 0]],
            "operand_precision": {"W": 8, "I": 8, "O": 16, "O_final": 8},
            "operand_source": {"I": max(0, i - 1), "W": i},  # a chain; a layer's own: constant
        }
        for i, (name, m, k, n) in enumerate(gemms)
    ]
    import yaml  # noqa: PLC0415 (zigzag brings it)

    workload = folder / "gemms.yaml"
    workload.write_text(yaml.safe_dump(layers))
    energy, cycles, *_ = get_hardware_performance_zigzag(
        workload=str(workload),
        accelerator=str(inputs / "hardware" / "aimc.yaml"),
        mapping=str(inputs / "mapping" / "default_imc.yaml"),
        dump_folder=str(folder / "out"),
        in_memory_compute=True,
        loma_show_progress_bar=False,
    )
    return f"{cycles:.3g} cycles, {energy:.3g} pJ"


SCALESIM = """[general]
run_name = gemms
[architecture_presets]
ArrayHeight: 128
ArrayWidth: 128
IfmapSramSzkB: 1024
FilterSramSzkB: 1024
OfmapSramSzkB: 1024
IfmapOffset: 0
FilterOffset: 10000000
OfmapOffset: 20000000
Bandwidth: 100
Dataflow: ws
MemoryBanks: 1
ReadRequestBuffer: 32
WriteRequestBuffer: 32
[layout]
IfmapCustomLayout: False
IfmapSRAMBankBandwidth: 10
IfmapSRAMBankNum: 10
IfmapSRAMBankPort: 2
FilterCustomLayout: False
FilterSRAMBankBandwidth: 10
FilterSRAMBankNum: 10
FilterSRAMBankPort: 2
[sparsity]
SparsitySupport: false
SparseRep: ellpack_block
OptimizedMapping: false
BlockSize: 8
RandomNumberGeneratorSeed: 40
[run_presets]
InterfaceBandwidth: CALC
UseRamulatorTrace: False
"""


def scalesim(gemms: list[Gemm], folder: Path) -> str:
    """SCALE-Sim: a weight-stationary systolic array of 128 x 128, without traces on disk."""
    from scalesim.scale_sim import scalesim as Simulator  # noqa: N812, PLC0415

    (folder / "scale.cfg").write_text(SCALESIM)
    rows = [f"{name},{m},{n},{k}," for name, m, k, n in gemms]
    (folder / "gemms.csv").write_text("\n".join(["Layer,M,N,K,", *rows, ""]))
    run = Simulator(
        save_disk_space=True,
        verbose=False,
        config=str(folder / "scale.cfg"),
        topology=str(folder / "gemms.csv"),
        layout=str(folder / "gemms.csv"),
        input_type_gemm=True,
    )
    run.run_scale(top_path=str(folder))
    cycles = sum(
        int(layer.get_compute_report_items()[0])
        for layer in run.runner.single_layer_sim_object_list
    )
    return f"{cycles:.3g} cycles"


ACCELFORGE = """
workload:
  rank_sizes: {{M: {m}, K: {k}, N: {n}}}
  bits_per_value: {{All: 8}}
  persistent_tensors: weight
  einsums:
  - "O[m, n] = I[m, k] * W[k, n]"
renames:
  einsums:
  - name: default
    tensor_accesses:
    - {{name: input, source: I, expected_count: 1}}
    - {{name: output, source: O, expected_count: 1}}
    - {{name: weight, source: W, expected_count: 1}}
"""


def accelforge(gemms: list[Gemm], folder: Path) -> str:
    """AccelForge on its example ``simple``: memory, buffer, multiplier; pictures are left out."""
    import accelforge as af  # noqa: PLC0415
    from accelforge.mapper.FFM.mappings import Mappings  # noqa: PLC0415
    from accelforge.util.parallel import set_n_parallel_jobs  # noqa: PLC0415

    Mappings.render = lambda *_, **__: ""  # draws every mapping, and fails without Graphviz
    set_n_parallel_jobs(1)
    architecture = Path(af.__file__).parent.parent / "examples" / "arches" / "simple.yaml"
    energy = latency = 0.0
    for _, m, k, n in gemms:
        (folder / "gemm.yaml").write_text(ACCELFORGE.format(m=m, k=k, n=n))
        spec = af.Spec.from_yaml(str(architecture), str(folder / "gemm.yaml"))
        best = spec.map_workload_to_arch(print_progress=False)
        energy += float(best.energy())
        latency += float(best.latency())
    return f"{latency:.3g} s, {energy:.3g} J in the example's units"


PEERS = {
    "accelforge": ("accelforge", accelforge),
    "zigzag": ("zigzag-dse", zigzag),
    "scalesim": ("scalesim", scalesim),
}


def main() -> None:
    """Run one peer and print what it took."""
    name, gemms = sys.argv[1], json.loads(sys.argv[2])
    package, run = PEERS[name]
    try:
        version = metadata.version(package)
    except metadata.PackageNotFoundError:
        print(json.dumps({"missing": package}))
        return
    importlib.import_module(name)
    result: dict[str, Any] = {"package": f"{package} {version}"}
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        start = time.perf_counter()
        result["gives"] = run(gemms, Path(folder))
        result["seconds"] = time.perf_counter() - start
    result["cpu"] = time.process_time()
    result["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(result))


if __name__ == "__main__":
    main()
