"""Table 2: area and power of the modules, added up. Its rows are the preset's inputs."""

from __future__ import annotations

from hyflexsim.sim.chip import area
from hyflexsim.sim.units.catalogue import load_chip
from hyflexsim.workloads.reproduction.claims import Claim, Figure, paper, table
from hyflexsim.workloads.terminal import Say


def table2(say: Say) -> Figure:
    """The table and its claims."""
    theirs, rows = paper("table2"), []
    for column, panel in (
        ("area_mm2", "area, mm²"),
        ("power_mw", "power with everything busy, mW"),
    ):
        sums = _sums(column)
        rows += [(panel, "", name, ours, theirs[column][name]) for name, ours in sums.items()]
    claims = [
        Claim(
            figure="table2",
            claim=f"{panel}: {name}",
            paper=their,
            ours=ours,
            rests="the rows of Table 2 themselves",
            why="Sums of what was typed in: the preset holds the table's rows. Controllers, buses, "
            "ports and clock are in neither.",
            kind="input",
        )
        for panel, _, name, ours, their in rows
        if name == "chip"
    ]
    title = "Table 2: area and power"
    return Figure("table2", title, table(rows), ("", ""), tuple(claims), log=True)


def _sums(column: str) -> dict[str, float]:
    chip = load_chip("hyflexpim")
    power = column == "power_mw"
    of_unit = area.unit_power if power else area.unit_area
    modules = {
        "analog": of_unit(chip.units["analog"]),
        # the table counts the module's SFU and adders with it
        "digital": sum(of_unit(chip.units[name]) for name in ("digital", "sfu", "accumulator")),
    }
    found = {}
    for name, one in modules.items():
        found[f"{name} module"] = one
        found[f"{name} of a PU"] = one * chip.units[name].values.count
    return found | {"chip": (area.chip_power if power else area.chip_area)(chip)}
