"""The report of a folder: of a run, a sweep or a study, whichever it holds."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from hyflexsim.analysis.reports.page import Page, Table
from hyflexsim.analysis.reports.zoomable import zoomable_timeline
from hyflexsim.analysis.run import shown
from hyflexsim.analysis.run.report import PICTURES, draw_all, draw_more, possible
from hyflexsim.analysis.run.run import load
from hyflexsim.analysis.studies.report import draw_study
from hyflexsim.analysis.studies.studies import STUDIES, load_study, study_kinds
from hyflexsim.analysis.sweeps import shown as shown_sweep
from hyflexsim.analysis.sweeps.report import draw_sweep
from hyflexsim.analysis.sweeps.swept import load_sweep
from hyflexsim.sim.errors import InputError

CAPTIONS = {
    "timeline.png": "Who worked on what, when: all requests",
    "timeline_request.png": "The request of median latency; others in grey",
    "energy.png": "Energy a request, by kind of component and layer",
    "utilisation.png": "Share of the time in which components are busy",
    "latency_cdf.png": "Latency of requests",
    "queue.png": "Requests in the system and at the host",
    "energy_flow.png": "Where energy goes: op classes, kinds of component, layers",
    "floor.png": "Processing units by the busy share of their busiest kind",
    "wear.png": "Processing units by the cells that a request writes",
    "roofline.png": "What each kind of unit and link would allow, and what was reached",
    "power.png": "Power over time, by kind of component; dashed: the mean",
    "waiting.png": "Tokens that wait, by kind of component",
    "busy.png": "How busy the components of each layer are, over time",
    "front.png": "Points, and those that no other beats",
    "multiples.png": "Each answer against each setting",
    "effects.png": "How far an answer moves with a setting, the others averaged",
    "parallel.png": "Settings and answers of every point",
}


def write_report(folder: str | Path, file: str | Path | None = None) -> Path:
    """Write the report of a run, a sweep or a study; return its path.

    Parameters
    ----------
    folder
        What ``hyflexsim run``, ``sweep``, ``accuracy``, ``ranks`` or ``pareto`` wrote.
    file
        Default: ``report.html`` in it.

    Raises
    ------
    InputError
        The folder holds none of these, or is damaged; the file cannot be written; Bokeh is missing.
    """
    folder = Path(folder)
    file = folder / "report.html" if file is None else Path(file)
    for name, page in KINDS.items():
        if (folder / name).is_file():
            page(folder).write(file)
            return file
    if any((folder / f"{kind}.parquet").is_file() for kind in STUDIES):
        _of_study(folder).write(file)
        return file
    raise InputError(f"{folder}: no folder of a run, a sweep or a study")


def _of_run(folder: Path) -> Page:
    run = load(folder)
    summary = run.summary
    missing = [name for name in PICTURES if not (folder / name).is_file()]
    if missing:
        draw_all(folder)
    more = possible(run)
    draw_more(run, [name for name in more if not (folder / name).is_file()])
    hardware = pd.DataFrame(run.scenario.get("hardware", {}).values())
    used = set(summary["assumptions"])
    assumed = hardware[hardware["key"].isin(used)] if len(hardware) else hardware
    return Page(
        title=shown.title(summary),
        lead=f"{summary['requests']:,} requests, {summary['tokens']:,} tokens, "
        f"{summary['visits']:,} visits, energy mode {summary['energy_mode']}.",
        facts=shown.facts(summary),
        notes=[*summary["notes"], *summary.get("accuracy", {}).get("notes", ())],
        live=[zoomable_timeline(run)],
        pictures=[(CAPTIONS[name], folder / name) for name in (*PICTURES, *more)],
        tables=[
            Table("Components", run.components.sort_values("utilisation", ascending=False)),
            Table("Energy", run.energy.sort_values("energy_pj", ascending=False)),
            Table("Requests", run.requests),
            Table("Placement", run.placement),
            Table(f"What it rests on: {len(used)} parameters that no paper gives", assumed),
        ],
        texts=[("Scenario", _text(folder / "scenario.json")), ("Made by", _made_by(folder))],
    )


def _of_sweep(folder: Path) -> Page:
    swept = load_sweep(folder)
    table = swept.table()
    pictures = draw_sweep(swept)
    return Page(
        title=swept.title or folder.resolve().name,
        lead=f"{len(swept.points):,} points of {', '.join(swept.settings)}.",
        facts=shown_sweep.facts(swept),
        notes=[f"{count:,} points: {error}" for error, count in swept.errors().items()],
        pictures=[(CAPTIONS[path.name], path) for path in pictures],
        tables=[Table("Points", table)],
        texts=[("Sweep", _text(folder / "sweep.json"))],
    )


def _of_study(folder: Path) -> Page:
    studies = [load_study(folder, kind) for kind in study_kinds(folder)]
    return Page(
        title=folder.resolve().name,
        lead=f"A study of {', '.join(study.kind for study in studies)}.",
        notes=[note for study in studies for note in study.info.get("notes", ())],
        pictures=[(path.stem.replace("_", ", ").capitalize(), path) for path in draw_study(folder)],
        tables=[Table(study.kind.capitalize(), study.table) for study in studies],
        texts=[("Settings", json.dumps([study.info for study in studies], indent=1, default=str))],
    )


KINDS: dict[str, Callable[[Path], Page]] = {"summary.json": _of_run, "sweep.json": _of_sweep}
"""A file that only such a folder has."""


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8")


def _made_by(folder: Path) -> str:
    file = folder / "host.json"
    host: dict[str, Any] = json.loads(_text(file)) if file.is_file() else {}
    return json.dumps(host, indent=1)
