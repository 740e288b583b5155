"""Mutation testing of the simulator: ``make mutants``, or ``python -m …mutants --count 200``.

A mutant is a copy of the sources with one token changed (operators of cosmic-ray). It is killed
when a test that runs the changed line fails, or does not end. Mutants are drawn evenly over all
places in ``sim/`` that an operator can change, by a seed, so a score can be had of places that
nobody has looked at. Which tests run which line is measured once and kept in ``.mutants/``, results
too: an interrupted run goes on where it was. A test that fails without a mutant would kill them
all, so the sources as they are must pass first.

Lines of machine code are not seen by coverage; their mutants face all tests of the compiled engine.
Lines that run when a module is imported (declarations, tables, defaults) run for no test in
particular; their mutants face all tests, those of the same room first. What no test imports or runs
is alive without trying.
"""

from __future__ import annotations

import argparse
import ast
import functools
import hashlib
import json
import math
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NamedTuple
from xml.etree import ElementTree

from rich.progress import Progress

from hyflexsim.sim.engine.compiled.compiled import RUN

ROOT = Path(__file__).parents[2]
KEPT = ROOT / ".mutants"
EQUIVALENT = Path(__file__).with_name("equivalent_mutants.toml")
ROOMS = ("sim", "models", "workloads", "analysis", "tests")
TESTS = ("tests/sim", "tests/test_doctests.py")
DOCTESTS = "tests/test_doctests.py::"
JITTED = frozenset(f"sim/engine/compiled/{name}.py" for name in RUN.sources)
"""Files of sim/engine/compiled that numba compiles."""
FIRST = 60
"""So many tests, the fastest, are tried before all others."""
LONGEST = 120
"""Seconds after which a test counts as one that does not end; what is not slow takes ten."""

OPERATORS = (
    *(f"ReplaceComparisonOperator_{pair}" for pair in ("Eq_NotEq", "NotEq_Eq", "Is_IsNot")),
    *(f"ReplaceComparisonOperator_{pair}" for pair in ("Lt_LtE", "LtE_Lt", "Gt_GtE", "GtE_Gt")),
    *(f"ReplaceComparisonOperator_{pair}" for pair in ("Lt_Gt", "Gt_Lt", "IsNot_Is")),
    *(f"ReplaceBinaryOperator_{pair}" for pair in ("Add_Sub", "Sub_Add", "Mul_Add", "Div_Mul")),
    *(f"ReplaceBinaryOperator_{pair}" for pair in ("FloorDiv_Mul", "Mod_FloorDiv", "Pow_Mul")),
    *(f"ReplaceBinaryOperator_{pair}" for pair in ("BitOr_BitAnd", "BitAnd_BitOr")),
    *(f"ReplaceBinaryOperator_{pair}" for pair in ("RShift_LShift", "LShift_RShift")),
    *("ReplaceUnaryOperator_USub_UAdd", "ReplaceUnaryOperator_Delete_Not", "AddNot"),
    *("NumberReplacer", "ReplaceTrueWithFalse", "ReplaceFalseWithTrue"),
    *("ReplaceAndWithOr", "ReplaceOrWithAnd", "ZeroIterationForLoop"),
    *("ReplaceBreakWithContinue", "ReplaceContinueWithBreak"),
)


class Mutant(NamedTuple):
    """One change: ``file`` below the root, operator and its occurrence in the file, line."""

    file: str
    operator: str
    occurrence: int
    line: int


def main(arguments: list[str] | None = None) -> int:
    """Draw mutants, try them, print the score by room and the survivors."""
    parser = argparse.ArgumentParser(prog="python -m hyflexsim.workloads.benchmarks.mutants")
    parser.add_argument("--count", type=int, default=400, help="mutants drawn")
    parser.add_argument("--seed", type=int, default=0, help="of the draw")
    parser.add_argument("--path", default="sim", help="folder or file that is changed")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="at once")
    options = parser.parse_args(arguments)
    KEPT.mkdir(exist_ok=True)
    covering = _covering(options.jobs)
    drawn = _drawn(options.path, options.count, options.seed)
    results = _tried(drawn, covering, options.jobs)
    _report(drawn, results)
    return 0


# --- which mutants -------------------------------------------------------------------------------


def _drawn(path: str, count: int, seed: int) -> list[Mutant]:
    """Places are drawn first, then one of the changes there."""
    files = sorted((ROOT / path).rglob("*.py")) if (ROOT / path).is_dir() else [ROOT / path]
    places: dict[tuple[str, int, int], list[Mutant]] = defaultdict(list)
    for file in files:
        for at, mutant in _mutants(file):
            places[mutant.file, *at].append(mutant)
    keys = sorted(places)
    chosen = random.Random(seed).sample(keys, min(count, len(keys)))
    return [random.Random(f"{seed}:{key}").choice(places[key]) for key in chosen]


def _mutants(file: Path) -> Iterator[tuple[tuple[int, int], Mutant]]:
    """Place (line, column) and mutant of every change of a file that means something."""
    from cosmic_ray.ast import ast_nodes, get_ast  # noqa: PLC0415 (an extra)
    from cosmic_ray.plugins import get_operator  # noqa: PLC0415

    source = file.read_text(encoding="utf-8")
    idle = _idle(ast.parse(source))
    nodes = list(ast_nodes(get_ast(source)))
    name = file.relative_to(ROOT).as_posix()
    for operator in OPERATORS:
        positions = get_operator(f"core/{operator}")().mutation_positions
        found = (at for node in nodes for at in positions(node))
        for occurrence, (start, _) in enumerate(found):
            if not any(first <= start < last for first, last in idle):
                yield start, Mutant(name, operator, occurrence, start[0])


_Span = tuple[tuple[int, int], tuple[int, int]]


def _idle(tree: ast.Module) -> list[_Span]:
    """What no test should see: annotations that are not evaluated, texts, checks for mypy."""
    spans = []
    for node in ast.walk(tree):
        inner: list[ast.AST | None] = []
        if isinstance(node, ast.arg):
            inner = [node.annotation]
        elif isinstance(node, ast.FunctionDef):
            inner = [node.returns, *node.decorator_list]
        elif isinstance(node, ast.ClassDef):
            inner = [*node.decorator_list]
        elif isinstance(node, ast.AnnAssign) and not _evaluated(node.annotation):
            inner = [node.annotation]
        elif _silent(node):
            inner = [node]
        spans += [_span(each) for each in inner if each is not None]
    return spans


def _silent(node: ast.AST) -> bool:
    if isinstance(node, ast.Constant):
        return isinstance(node.value, str)
    if isinstance(node, ast.If):
        return ast.unparse(node.test) == "TYPE_CHECKING"
    if isinstance(node, ast.keyword):
        return node.arg == "strict"  # of zip: an assertion
    return isinstance(node, ast.Assert | ast.JoinedStr)


def _evaluated(annotation: ast.expr) -> bool:
    """Pydantic reads these: ranges and defaults of parameters."""
    return any(isinstance(node, ast.Call) for node in ast.walk(annotation))


def _span(node: Any) -> _Span:
    return (node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset)


# --- which tests ---------------------------------------------------------------------------------


IMPORT = ""
"""The test, in coverage's words, that runs what is run by an import."""


class Covering(NamedTuple):
    """Tests by file and line, and seconds by test."""

    tests: dict[str, dict[int, list[str]]]
    seconds: dict[str, float]

    def of(self, mutant: Mutant) -> list[str]:
        """Tests that run a mutant's statement, fastest first; of machine code those of the compiled
        engine; of what an import runs all, those of the same room first.
        """
        lines = self.tests.get(mutant.file, {})
        found = {name for n in _statement(mutant.file, mutant.line) for name in lines.get(n, ())}
        if mutant.file in JITTED:
            found = {name for name in self.all() if "/engine/" in name or "random" in name}
        elif IMPORT in found:
            found = self.all()
        room = f"tests/{Path(mutant.file).parent.as_posix()}/"
        near = {name for name in found if name.startswith(room)} if len(found) > FIRST else found
        return sorted(found, key=lambda name: self._turn(name, name in near))

    def _turn(self, name: str, near: bool) -> tuple[bool, bool, float]:
        """Docstrings last: finding them imports every package."""
        return name.startswith(DOCTESTS), not near, self.seconds.get(name, 0.0)

    def all(self) -> set[str]:
        """Every test, also one that runs generated code alone (of a dataclass, of pydantic)."""
        return set(self.seconds) | {
            name for lines in self.tests.values() for each in lines.values() for name in each
        } - {IMPORT}


@functools.cache
def _statement(file: str, line: int) -> range:
    """Lines of the innermost statement around a line; of a compound one its head alone: not every
    line of a statement is an event for coverage.
    """
    lines = range(line, line + 1)
    for node in ast.walk(ast.parse((ROOT / file).read_text(encoding="utf-8"))):
        if isinstance(node, ast.stmt):
            body = getattr(node, "body", None)
            end = (body[0].lineno - 1 if body else node.end_lineno) or node.lineno
            span = range(node.lineno, max(end, node.lineno) + 1)
            if line in span:
                lines = span  # ast.walk goes inwards
    return lines


def _covering(jobs: int) -> Covering:
    """Measured once for the sources and tests as they are."""
    kept = KEPT / f"covering-{_digest()}.json"
    if not kept.exists():
        print("measuring which tests run which lines", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            place = _Place(Path(folder))
            content = place.measured(jobs)
        scratch = kept.with_suffix(".part")
        scratch.write_text(json.dumps(content))
        scratch.rename(kept)
    content = json.loads(kept.read_text())
    lines = {f: {int(n): t for n, t in each.items()} for f, each in content["tests"].items()}
    return Covering(lines, content["seconds"])


# --- trying --------------------------------------------------------------------------------------


class _Place:
    """A copy of the sources in which mutants are tried, one after the other."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.written = 0
        for room in ROOMS:
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / room, folder / room, ignore=ignored)
        shutil.copy(ROOT / "pyproject.toml", folder)
        (folder / "links/hyflexsim").mkdir(parents=True)
        for room in ROOMS[:-1]:
            (folder / "links/hyflexsim" / room).symlink_to(folder / room)
        self.environment = os.environ | {
            "PYTHONPATH": str(folder / "links"),  # goes before the installed package
            "HYPOTHESIS_PROFILE": "unshrunk",
        }

    def measured(self, jobs: int) -> dict[str, Any]:
        """Run all tests under coverage: tests by file and line, seconds by test.

        Raises RuntimeError when one of them fails.
        """
        sources = [f"--cov={self.folder / 'links/hyflexsim/sim'}", f"--cov={self.folder / 'sim'}"]
        outcome = self.pytest(
            *("-n", str(jobs), *sources, "--cov-context=test", "--cov-report="),
            *("-m", "not slow"),  # a minute each: without them a score is a lower bound
            *("-k", "not hyflexsim. or hyflexsim.sim."),  # docstrings of sim
            *("--junitxml=junit.xml", *TESTS),
            timeout=3600,
        )
        if outcome != "passed":
            raise RuntimeError(f"without any mutant, the tests have {outcome}")
        tests: dict[str, dict[int, list[str]]] = defaultdict(lambda: defaultdict(list))
        with sqlite3.connect(self.folder / ".coverage") as base:
            names = dict(base.execute("select id, context from context"))
            files = {
                n: Path(path).resolve() for n, path in base.execute("select id, path from file")
            }
            for file, context, bits in base.execute(
                "select file_id, context_id, numbits from line_bits"
            ):
                test = names[context].rpartition("|")[0]  # what follows is the phase
                for line in _numbers(bits):
                    tests[files[file].relative_to(self.folder.resolve()).as_posix()][line].append(
                        test
                    )
        seconds: dict[str, float] = {}
        for case in ElementTree.parse(self.folder / "junit.xml").iter("testcase"):
            file = case.get("classname", "").replace(".", "/")
            seconds[f"{file}.py::{case.get('name')}"] = float(case.get("time", 0))
        # doctests and tests within classes have other names: they keep the default of no time
        found = {t for each in tests.values() for some in each.values() for t in some} - {IMPORT}
        # a name that pytest does not find would kill every mutant
        if self.pytest("--collect-only", *found, timeout=600) != "passed":
            raise RuntimeError("pytest does not find the tests that coverage names")
        return {"tests": tests, "seconds": seconds}

    def outcome(self, mutant: Mutant, tests: Sequence[str], seconds: Mapping[str, float]) -> str:
        """``alive``, or ``failed`` or ``timed out``: one of them, or all, took far longer."""
        file = self.folder / mutant.file
        before = file.read_text(encoding="utf-8")
        self._write(file, _changed(before, mutant))
        try:
            for some in filter(None, (tests[:FIRST], tests[FIRST:])):
                outcome = self._limited([seconds.get(name, 0.0) for name in some], *some)
                if outcome == "not found":  # a case of a test is named by the change
                    files = {name.partition("::")[0] for name in some}
                    outcome = self._limited([*seconds.values()], "-m", "not slow", *files)
                if outcome != "passed":
                    return "timed out" if outcome == "timed out" else "failed"
            return "alive"
        finally:
            self._write(file, before)

    def _write(self, file: Path, text: str) -> None:
        """At a time of its own, by which Python knows whether kept bytecode is of this text."""
        file.write_text(text, encoding="utf-8")
        self.written += 1
        os.utime(file, (self.written, self.written))

    def _limited(self, usual: Sequence[float], *arguments: str) -> str:
        """Tests until one fails, or takes :data:`LONGEST` seconds."""
        each = f"faulthandler_timeout={LONGEST}"
        limits = ("-o", each, "-o", "faulthandler_exit_on_timeout=true")
        return self.pytest("-x", *limits, *arguments, timeout=60 + 5 * sum(usual))

    def pytest(self, *arguments: str, timeout: float) -> str:
        """``passed``, ``failed``, ``not found`` or, after so many seconds, ``timed out``."""
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
        cache = {"HYFLEXSIM_CACHE": str(KEPT / "cache")}  # machine code is kept by its sources
        with subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.environment | cache,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        ) as running:
            try:
                _, errors = running.communicate(timeout=timeout)
                if b"Timeout (" in errors:  # of one test
                    return "timed out"
                return {0: "passed", 4: "not found"}.get(running.returncode, "failed")
            except subprocess.TimeoutExpired:
                os.killpg(running.pid, 9)
                return "timed out"


def _changed(source: str, mutant: Mutant) -> str:
    from cosmic_ray.mutating import mutate_code  # noqa: PLC0415 (an extra)
    from cosmic_ray.plugins import get_operator  # noqa: PLC0415

    changed = mutate_code(source, get_operator(f"core/{mutant.operator}")(), mutant.occurrence)
    assert changed is not None
    return str(changed)


def _numbers(bits: bytes) -> Iterator[int]:
    """Line numbers in coverage's own packing, a bit a line."""
    for byte, value in enumerate(bits):
        for bit in range(8):
            if value >> bit & 1:
                yield 8 * byte + bit


def _tried(drawn: Sequence[Mutant], covering: Covering, jobs: int) -> dict[Mutant, str]:
    """What became of each mutant; results are kept as they come, for these sources and tests."""
    kept = KEPT / f"outcomes-{_digest()}.jsonl"
    results: dict[Mutant, str] = {}
    if kept.exists():
        rows = [json.loads(line) for line in kept.read_text().splitlines()]
        known = {Mutant(*row["mutant"]): row["outcome"] for row in rows}
        results = {mutant: known[mutant] for mutant in drawn if mutant in known}
    missing = [mutant for mutant in drawn if mutant not in results]
    with Progress() as progress, tempfile.TemporaryDirectory() as folder, kept.open("a") as file:
        bar = progress.add_task("mutants", total=len(drawn), completed=len(results))
        places: SimpleQueue[_Place] = SimpleQueue()
        for job in range(min(jobs, len(missing))):
            places.put(_Place(Path(folder) / str(job)))

        def attempt(mutant: Mutant) -> tuple[Mutant, str]:
            tests, place = covering.of(mutant), places.get()
            try:
                return mutant, place.outcome(mutant, tests, covering.seconds)
            finally:
                places.put(place)

        with ThreadPoolExecutor(jobs) as pool:
            for done in as_completed([pool.submit(attempt, mutant) for mutant in missing]):
                mutant, outcome = done.result()
                results[mutant] = outcome
                file.write(json.dumps({"mutant": mutant, "outcome": outcome}) + "\n")
                file.flush()
                progress.advance(bar)
    return results


def _content(room: Path) -> list[Path]:
    """All files of a room but what Python makes."""
    files = (file for file in room.rglob("*") if "__pycache__" not in file.parts)
    return sorted(file for file in files if file.is_file())


@functools.cache
def _digest() -> str:
    """Name of the sources and tests as they are: another file of either may decide on a mutant."""
    digest = hashlib.sha256()
    files = [*_content(ROOT / "sim"), *_content(ROOT / "tests/sim"), *(ROOT / "tests").glob("*.py")]
    for file in sorted(files):
        digest.update(f"{file.relative_to(ROOT)}\0".encode() + file.read_bytes())
    return digest.hexdigest()[:16]


# --- report --------------------------------------------------------------------------------------


def _report(drawn: Sequence[Mutant], results: Mapping[Mutant, str]) -> None:
    equal = {_name(each) for each in tomllib.loads(EQUIVALENT.read_text("utf-8"))["mutant"]}
    by_room: dict[str, Counter[str]] = defaultdict(Counter)
    survivors = []
    for mutant in drawn:
        old, new = _lines(mutant)
        what = results[mutant]
        if what == "alive" and _name({"file": mutant.file, "old": old, "new": new}) in equal:
            what = "equivalent"
        by_room[Path(mutant.file).parent.as_posix()][what] += 1
        if what == "alive":
            survivors.append(f"{mutant.file}:{mutant.line}\n  - {old}\n  + {new}")
    print("\n".join(survivors))
    total: Counter[str] = Counter()
    for room, counts in sorted(by_room.items()):
        total += counts
        print(f"{room:22} {_score(counts)}")
    print(f"{'all':22} {_score(total)}")


def _score(counts: Counter[str]) -> str:
    killed = counts["failed"] + counts["timed out"]
    tried = killed + counts["alive"]
    share = 100 * killed / tried if tried else 100.0
    low, high = wilson(killed, tried)
    return (
        f"{killed:4} of {tried:4} killed ({counts['timed out']} by time), {share:5.1f} %, "
        f"95 % interval {100 * low:.1f} to {100 * high:.1f} %; {counts['equivalent']} equal"
    )


def wilson(killed: int, tried: int) -> tuple[float, float]:
    """The 95 % interval of a share, by Wilson's score.

    >>> [round(bound, 3) for bound in wilson(107, 114)]
    [0.879, 0.97]
    """
    if not tried:
        return 0.0, 1.0
    z2 = 1.959964**2
    middle = (killed + z2 / 2) / (tried + z2)
    half = math.sqrt(z2 * killed * (tried - killed) / tried + z2**2 / 4) / (tried + z2)
    return middle - half, middle + half


def _name(each: dict[str, str]) -> tuple[str, str, str]:
    return each["file"], each["old"].strip(), each["new"].strip()


def _lines(mutant: Mutant) -> tuple[str, str]:
    """The line before and after."""
    source = (ROOT / mutant.file).read_text(encoding="utf-8")
    before, after = source.splitlines(), _changed(source, mutant).splitlines()
    line = next(i for i, (a, b) in enumerate(zip(before, after, strict=False)) if a != b)
    return before[line].strip(), after[line].strip()


if __name__ == "__main__":
    sys.exit(main())
