"""Simulated jets of the ten JetClass labels: Pythia makes events, FastJet finds jets.

pp collisions at 13 TeV, one process a label, generator level: **no detector** and no
pile-up; track parameters get a Gaussian smearing. One jet is kept for a resonance (H, Z, W,
t) if all quarks, gluons and charged leptons of its decay lie within 0.8 of the jet's axis::

    Pythia event -> final particles, no neutrinos, pT > 0.5 GeV, |eta| < 3
                 -> anti-kT R = 0.8 -> 500 < pT < 1000 GeV, |eta| < 2 -> match -> a row

Labels, jet algorithm, window and matching follow JetClass (arXiv 2202.03772 §4), which has
MadGraph before and Delphes after Pythia; so particles here are more (by about a fifth) and
masses alike. Pythia 8.3: arXiv 2203.11601; FastJet: arXiv 1111.6097.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hyflexsim.models.part.inputs import track_errors
from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.jets.sample import MAX_PARTICLES

RADIUS, PT_MIN, PT_MAX, ETA_MAX = 0.8, 500.0, 1000.0, 2.0  # the jet window: GeV, GeV
PARTICLE_PT_MIN, PARTICLE_ETA_MAX = 0.5, 3.0  # GeV
BATCH = 100  # events a call; the jets do not depend on it
NEUTRINOS = (12, 14, 16)

COMMON = (
    "Beams:eCM=13000",
    "Tune:pp=14",  # Monash 2013, the default
    "ParticleDecays:limitTau0=on",
    "ParticleDecays:tau0Max=10",  # mm: K_S and Lambda reach the detector
    "Random:setSeed=on",
    "Print:quiet=on",
)


@dataclass(frozen=True)
class Process:
    """How events of a label are made, and whose decay the jet must hold."""

    settings: tuple[str, ...]
    parent: int = 0  # |PDG id| of the resonance; 0: the hardest jet, no match
    pthat: tuple[int, int] = (450, 1200)  # GeV, a little wider than the jet window
    variants: tuple[tuple[str, ...], ...] = ((),)  # taken in turn, a batch each


_Z_NUNU = ("23:onMode=off", "23:onIfAny=12 14 16")
_H = ("HiggsSM:ffbar2HZ=on", "25:m0=125", "25:onMode=off", *_Z_NUNU)
_H_WW = (*_H, "25:onIfMatch=24 -24", "24:onMode=off")
_W_QQ = ("24:onMode=off", "24:onIfAny=1 2 3 4 5")
_TT = ("Top:gg2ttbar=on", "Top:qqbar2ttbar=on", "24:onMode=off")
_WITH_NEUTRINO = (500, 1600)  # part of the resonance's pT leaves with the neutrino

PROCESSES: dict[str, Process] = {
    "QCD": Process(
        (
            "WeakBosonAndParton:qqbar2gmZg=on",
            "WeakBosonAndParton:qg2gmZq=on",
            "WeakZ0:gmZmode=2",
            *_Z_NUNU,
        )
    ),
    "Hbb": Process((*_H, "25:onIfMatch=5 -5"), 25),
    "Hcc": Process((*_H, "25:onIfMatch=4 -4"), 25),
    "Hgg": Process((*_H, "25:onIfMatch=21 21"), 25),
    "H4q": Process((*_H_WW, "24:onIfAny=1 2 3 4 5"), 25),
    "Hqql": Process(
        _H_WW,
        25,
        _WITH_NEUTRINO,
        (
            ("24:onPosIfAny=1 2 3 4 5", "24:onNegIfAny=11 13"),
            ("24:onPosIfAny=11 13", "24:onNegIfAny=1 2 3 4 5"),
        ),
    ),
    "Zqq": Process(
        (
            "WeakDoubleBoson:ffbar2gmZgmZ=on",
            "WeakZ0:gmZmode=2",
            "23:onMode=off",
            "23:onIfAny=1 2 3 4 5",
        ),
        23,
    ),
    "Wqq": Process(("WeakDoubleBoson:ffbar2WW=on", *_W_QQ), 24),
    "Tbqq": Process((*_TT, "24:onIfAny=1 2 3 4 5"), 6),
    "Tbl": Process((*_TT, "24:onIfAny=11 13"), 6, _WITH_NEUTRINO),
}
"""One process a label of JetClass."""

_SINGLES, _BYTES = pa.list_(pa.float32()), pa.list_(pa.int8())
SCHEMA = pa.schema(
    [("label", pa.dictionary(pa.int8(), pa.string()))]
    + [(f"jet_{n}", pa.float32()) for n in ("pt", "eta", "phi", "energy", "mass")]
    + [("jet_nparticles", pa.int16())]
    + [(f"part_{n}", _SINGLES) for n in ("px", "py", "pz", "mass")]
    + [(f"part_{n}", _BYTES) for n in ("charge", "pid")]
    + [(f"part_{n}", _SINGLES) for n in ("d0", "dz")]
    + [("truth_pdg", _BYTES)]
    + [(f"truth_{n}", _SINGLES) for n in ("px", "py", "pz", "energy")]
)
"""Columns of a table of jets; meaning and units in jets.py."""


def generate(
    label: str,
    jets: int,
    seed: int,
    settings: Sequence[str] = (),
    progress: Callable[[int], None] = lambda _: None,
) -> Any:
    """A pyarrow table (SCHEMA) of exactly `jets` jets of one label, the same for the same seed.

    `seed` is Pythia's, 1 ... 900,000,000. `settings` are further Pythia lines (for tests:
    `PartonLevel:MPI=off`). `progress` is told the jets found so far, batch by batch. With the
    same seed, fewer jets are the first of more. Raises InputError for an unknown label, a
    setting Pythia refuses, or missing packages.
    """
    if label not in PROCESSES:
        raise InputError(f"classes must be of {', '.join(PROCESSES)}; got {label!r}")
    process = PROCESSES[label]
    hep = {name: _need(name) for name in ("pythia8mc", "fastjet", "awkward", "vector")}
    sources = cycle([_pythia(hep, process, seed, (*v, *settings)) for v in process.variants])
    random = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    while len(rows) < jets:
        batch = _Batch(hep, next(sources))
        for members, truth in batch.jets(process.parent):
            rows.append({"label": label} | batch.row(members, truth, random))
        progress(min(len(rows), jets))
    return pa.Table.from_pylist(rows[:jets], schema=SCHEMA)


def _need(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise InputError(
            f"making jets needs the package {name}: pip install 'hyflexsim[hep]'"
        ) from None


def _pythia(hep: dict[str, Any], process: Process, seed: int, settings: Sequence[str]) -> Any:
    """An initialised generator. Pythia reports a bad line by returning False, not by raising."""
    pythia = hep["pythia8mc"].Pythia("", False)  # its own data files, no banner
    low, high = process.pthat
    window = (f"PhaseSpace:pTHatMin={low}", f"PhaseSpace:pTHatMax={high}")
    for line in (*COMMON, f"Random:seed={seed}", *window, *process.settings, *settings):
        if not pythia.readString(line):
            raise InputError(f"Pythia refuses the setting {line!r}; see its list of settings")
    if not pythia.init():
        raise InputError(f"Pythia does not start with the settings {', '.join(settings)}")
    return pythia


class _Batch:
    """Some events, flat: event e owns particles start[e] ... start[e + 1] - 1."""

    def __init__(self, hep: dict[str, Any], pythia: Any):
        self.hep, self.data = hep, pythia.particleData
        ak, prt = hep["awkward"], pythia.nextBatch(BATCH).prt
        self.start = np.concatenate([[0], np.cumsum(ak.to_numpy(ak.num(prt.id)))])

        def flat(array: Any) -> NDArray[Any]:
            return np.asarray(ak.to_numpy(ak.flatten(array)))

        self.id, self.status, self.m = flat(prt.id), flat(prt.status), flat(prt.m)
        self.daughters = np.stack([flat(prt.daughter1), flat(prt.daughter2)], axis=1)
        self.p = np.stack([flat(prt.p[k]) for k in ("px", "py", "pz", "e")], axis=1)  # (P, 4)
        # particles of the primary vertex have none of their own
        vertex = [flat(ak.fill_none(prt.vProd[k], 0.0)) for k in ("px", "py", "pz")]
        self.vertex = np.stack(vertex, axis=1)  # (P, 3), mm

    def jets(self, parent: int) -> Iterator[tuple[NDArray[np.int64], list[int]]]:
        """(constituents, truth particles) of every jet to keep, in event order."""
        for event, axes, members in self._clusters():
            if parent == 0:
                yield members[0], []
                continue
            own = np.arange(self.start[event], self.start[event + 1])
            for particle in own[abs(self.id[own]) == parent]:
                truth = self._decay(event, int(particle))
                for axis, inside in zip(axes, members, strict=True):
                    if truth and all(_distance(axis, self.p[t]) < RADIUS for t in truth):
                        yield inside, truth
                        break

    def _clusters(self) -> Iterator[tuple[int, NDArray[Any], list[NDArray[np.int64]]]]:
        """Events with jets in the window: event, axes (J, 4) hardest first, constituents."""
        ak, fastjet = self.hep["awkward"], self.hep["fastjet"]
        pt = np.hypot(self.p[:, 0], self.p[:, 1])
        visible = (self.status > 0) & ~np.isin(abs(self.id), NEUTRINOS)
        visible &= (pt > PARTICLE_PT_MIN) & (abs(self.p[:, 2]) < pt * np.sinh(PARTICLE_ETA_MAX))
        chosen = np.flatnonzero(visible)
        counts = np.add.reduceat(visible.astype(np.int64), self.start[:-1])
        names = ("px", "py", "pz", "E")
        records = ak.zip(
            {name: self.p[chosen, k] for k, name in enumerate(names)}, with_name="Momentum4D"
        )
        algorithm = fastjet.JetDefinition(fastjet.antikt_algorithm, RADIUS)
        sequence = fastjet.ClusterSequence(ak.unflatten(records, counts), algorithm)
        found, index = sequence.inclusive_jets(PT_MIN), sequence.constituent_index(PT_MIN)
        first = np.concatenate([[0], np.cumsum(counts)])
        for event in np.flatnonzero(ak.to_numpy(ak.num(found)) > 0):
            axes = np.stack([ak.to_numpy(found[event][name]) for name in names], axis=1)
            jet_pt = np.hypot(axes[:, 0], axes[:, 1])
            inside = (jet_pt < PT_MAX) & (abs(axes[:, 2]) < jet_pt * np.sinh(ETA_MAX))
            order = [j for j in np.argsort(-jet_pt, kind="stable") if inside[j]]
            members = [chosen[first[event] + ak.to_numpy(index[event][j])] for j in order]
            if order:
                yield int(event), axes[order], members

    def _decay(self, event: int, particle: int) -> list[int]:
        """Quarks, gluons, charged leptons of a decay; empty unless `particle` is the last copy."""
        low, high = self.daughters[particle]
        children = range(self.start[event] + low, self.start[event] + high + 1)
        if low <= 0 or any(self.id[c] == self.id[particle] for c in children):
            return []
        products = []
        for child in children:
            if abs(self.id[child]) in (23, 24):  # from t or H: go on
                products += self._decay(event, self._last_copy(event, child))
            elif abs(self.id[child]) not in NEUTRINOS:
                products.append(child)
        return products

    def _last_copy(self, event: int, particle: int) -> int:
        """Pythia repeats a resonance at each recoil; only the last one decays."""
        low, high = self.daughters[particle]
        for child in range(self.start[event] + low, self.start[event] + high + 1):
            if low > 0 and self.id[child] == self.id[particle]:
                return self._last_copy(event, child)
        return particle

    def row(
        self,
        members: NDArray[np.int64],
        truth: list[int],
        random: np.random.Generator,
    ) -> dict[str, Any]:
        """A row of the table: the jet, its particles by descending pT, its truth."""
        px, py, pz, energy = self.p[members].sum(axis=0)
        pt = np.hypot(px, py)
        order = np.argsort(-np.hypot(self.p[members, 0], self.p[members, 1]), kind="stable")
        kept = members[order][:MAX_PARTICLES]
        charge = np.array([self.data.charge(int(i)) for i in self.id[kept]], dtype=np.int8)
        d0, dz = self._tracks(kept, charge != 0, random)
        momenta = _short(self.p[kept])  # (N, 4)
        return {
            "jet_pt": pt,
            "jet_eta": np.arcsinh(pz / pt),
            "jet_phi": np.arctan2(py, px),
            "jet_energy": energy,
            "jet_mass": np.sqrt(max(energy**2 - pt**2 - pz**2, 0.0)),
            "jet_nparticles": len(members),
            **{f"part_p{axis}": momenta[:, k] for k, axis in enumerate("xyz")},
            "part_mass": self.m[kept].astype(np.float32),
            "part_charge": charge,
            "part_pid": _kind(self.id[kept], charge),
            "part_d0": d0,
            "part_dz": dz,
            "truth_pdg": self.id[truth].astype(np.int8),
            **{
                f"truth_{name}": self.p[truth, k].astype(np.float32)
                for k, name in enumerate(("px", "py", "pz", "energy"))
            },
        }

    def _tracks(
        self, particles: NDArray[np.int64], charged: NDArray[np.bool_], random: np.random.Generator
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """d0 and dz in mm: straight line from the production vertex, smeared; 0 for neutrals."""
        px, py, pz, _ = self.p[particles].T
        x, y, z = self.vertex[particles].T
        pt = np.hypot(px, py)
        exact = ((x * py - y * px) / pt, z - (x * px + y * py) * pz / pt**2)
        smeared = [
            np.where(charged, value + sigma * random.standard_normal(len(pt)), 0.0)
            for value, sigma in zip(exact, track_errors(px, py, pz), strict=True)
        ]
        d0, dz = (np.round(value, 3).astype(np.float32) for value in smeared)  # steps of 1 um
        return d0, dz


def _kind(pdg: NDArray[np.int32], charge: NDArray[np.int8]) -> NDArray[np.int8]:
    size = abs(pdg)
    known = [size == 22, size == 11, size == 13, charge != 0]
    return np.select(known, [2, 3, 4, 0], 1).astype(np.int8)


def _distance(a: NDArray[Any], b: NDArray[Any]) -> float:
    """hypot of the differences in eta and phi of two four-vectors (px, py, pz, E)."""
    eta = [np.arcsinh(p[2] / np.hypot(p[0], p[1])) for p in (a, b)]
    phi = np.arctan2(a[1], a[0]) - np.arctan2(b[1], b[0])
    return float(np.hypot(eta[0] - eta[1], (phi + np.pi) % (2 * np.pi) - np.pi))


def _short(values: NDArray[Any]) -> NDArray[np.float32]:
    """float32 with the mantissa rounded to 15 bits (relative 1.5e-5), which compresses well."""
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    return ((bits + np.uint32(0x80)) & np.uint32(0xFFFFFF00)).view(np.float32)
