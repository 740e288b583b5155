"""Levers: what one may change about a ParT and its chip beside attention, one at a time.

A lever is a change of a :class:`Setting`, whose defaults are where all start from: the model dense
in single-level cells with copies, tokens dealt to these in turn, HyFlexPIM as published. What a
setting costs is in lever_costs.py, how right it is in lever_scores.py, which to pull together in
best_levers.py.

U is made once a jet, as in the published model, whose blocks share it: making it anew in each block
is here to show what that is worth.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from hyflexsim.workloads.scenario.scenario import Scenario
from hyflexsim.workloads.scenario.schema import Chip, Jets, Model, Placing

PRESET = "hyflexpim"
JETS = 50
"""Jets whose lengths the costs are of: the first of the sample."""
PAIR_OPS = "pair_embed.*"
FEED, PROJECTIONS = ("*.fc1", "*.fc2"), ("*.in_proj.*", "*.out_proj")
FASTER = {"pu_bus.bandwidth": "4000 GB/s"}
ALL_FASTER = FASTER | dict.fromkeys(("global_bus.bandwidth", "host_port.bandwidth"), "512 GB/s")


@dataclass(frozen=True)
class Setting:
    """A ParT on a chip, as far as it differs from its published shape.

    ``shape``: arguments of the model; a model of another shape is another model, to be trained.
    ``particles``: leading particles read (None: all that the model reads), ``pairs``: leading
    particles whose pairs have a U, the others' is 0. ``pair_rank``, ``pair_bits``: of the pair
    network's inner matrices and of all its weights. ``anew``: U is made in each block.
    ``ranks``: by pattern of op name, shares of the break-even rank. ``chip``: parameters that
    differ. The rest as in a scenario's ``[mapping]``.
    """

    shape: Mapping[str, Any] = field(default_factory=dict)
    particles: int | None = None
    pairs: int | None = None
    pair_rank: int | None = None
    pair_bits: int | None = None
    anew: bool = False
    ranks: Mapping[str, float] = field(default_factory=dict)
    chip: Mapping[str, Any] = field(default_factory=dict)
    slc_rate: float = 1.0
    slc_rates: Mapping[str, float] = field(default_factory=dict)
    copies: str = "fill"
    deal: str = "in-turn"

    def changed(self, change: Mapping[str, Any]) -> Setting:
        """With a lever's change; tables get its entries beside their own.

        >>> Setting(chip={"sfu.lanes": 64}).changed({"chip": {"digital.count": 4}}).chip
        {'sfu.lanes': 64, 'digital.count': 4}
        """
        merged: dict[str, Any] = {
            key: {**getattr(self, key), **value} if isinstance(value, Mapping) else value
            for key, value in change.items()
        }
        return replace(self, **merged)

    @property
    def trained(self) -> bool:
        """Whether the weights of the model as it is are of use."""
        return not self.shape

    def scenario(self, exact: Mapping[str, float]) -> Scenario:
        """The same as a scenario; ``exact``: SLC rates of what is outside the blocks."""
        mapping = {
            "slc_rate": self.slc_rate,
            "slc_rates": {**self.slc_rates, **exact},  # the first that matches counts
            "copies": self.copies,
            "deal": self.deal,
        }
        return Scenario(
            name="levers",
            model=Model(name="part-full"),  # the graph is handed over
            chip=Chip(preset=PRESET, set=dict(self.chip)),
            mapping=Placing.model_validate(mapping),
            workload=Jets(count=JETS),
        )


class Lever(NamedTuple):
    """A change of a setting. Of each ``kind`` a combination has at most one."""

    title: str
    kind: str
    change: Mapping[str, Any]


def levers(model: str) -> list[Lever]:
    """All levers of ``part-full`` or ``part-small``; the first changes nothing.

    >>> [lever.title for lever in levers("part-small")][:2]
    ['as it is', 'dealt by token']
    """
    small = model == "part-small"
    found = [
        Lever("as it is", "", {}),
        Lever("dealt by token", "dealing", {"deal": "by-token"}),
        Lever("no copies", "copies", {"copies": "none"}),
    ]
    found += _pairs(small) + _shapes(small)
    found += [
        Lever(f"{name}, {x:g} × break-even rank", "rank", {"ranks": dict.fromkeys(ops, x)})
        for x in (1.0, 0.5)
        for name, ops in (("feed-forward", FEED), ("attention", PROJECTIONS))
    ]
    found += [Lever(f"{n} particles", "particles", {"particles": n}) for n in (64, 32, 16)[small:]]
    found += [
        Lever(f"SLC rate {rate:g}", "SLC", {"slc_rate": rate}) for rate in (0.5, 0.2, 0.05, 0.0)
    ]
    found += [
        Lever(f"weights of {bits} bits", "weights", {"chip": {"analog.weight_bits": bits}})
        for bits in (6, 5, 4)
    ]
    found += [
        Lever(f"inputs of {bits} bits", "inputs", {"chip": {"analog.input_bits": bits}})
        for bits in (7, 6, 5, 4)
    ]
    found += [
        Lever(
            f"converters of {bits} and {bits + 1} bits",
            "converters",
            {"chip": {"adc.slc_bits": bits, "adc.mlc_bits": bits + 1}},
        )
        for bits in (5, 4)
    ]
    found += [
        Lever("PU buses 4 × as fast", "buses", {"chip": FASTER}),
        Lever("all links 4 × as fast", "buses", {"chip": ALL_FASTER}),
    ]
    return found


def _pairs(small: bool) -> list[Lever]:
    ranks = (4, 2) if small else (16, 8)
    found = [Lever("U anew in each block", "U", {"anew": True})]
    found += [Lever(f"pair network, rank {r}", "pair rank", {"pair_rank": r}) for r in ranks]
    found += [Lever(f"pair weights of {b} bits", "pair bits", {"pair_bits": b}) for b in (6, 4)]
    found.append(Lever("pair network in MLC", "pair cells", {"slc_rates": {PAIR_OPS: 0.0}}))
    found += [Lever(f"pairs of {n} particles", "pairs", {"pairs": n}) for n in (48, 32, 16)]
    found.append(Lever("no pairs", "pairs", {"pairs": 0}))
    return found


def _shapes(small: bool) -> list[Lever]:
    """Models to be trained: a narrower embedding, fewer class blocks, fewer blocks."""
    width = 64 if small else 128
    found = [
        Lever("embedding: 2 matrices", "shape", {"shape": {"embed_dims": (width, width)}}),
        Lever("embedding: 1 matrix", "shape", {"shape": {"embed_dims": (width,)}}),
    ]
    if not small:
        found.append(Lever("1 class block", "shape", {"shape": {"num_cls_layers": 1}}))
    half = 2 if small else 4
    found.append(Lever(f"{half} blocks", "shape", {"shape": {"num_layers": half}}))
    return found
