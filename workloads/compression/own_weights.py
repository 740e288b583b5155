"""Factorise the weights of a folder, matrix by matrix, without data and without training.

What ``hyflexsim compress FOLDER`` does with a model of one's own, of any size: it is built without
values, and each matrix is read, factorised (models/lowrank/gram_svd.py), written beside the result
and forgotten, so that memory holds one matrix a thread and an interrupted job goes on with the
next one::

    FOLDER/*.safetensors ─ own_names.py ─> pieces (factors) ─ ranks ─> shards, ranks.json

Ranks are those of the recipe's methods that need neither data nor training. The result is a
checkpoint as others, but for scores: it has none. What a LoRA adapter changes stays dense if
that is kept beside it (models/lowrank/adapted.py). Where the folder holds factors (a mapping says
so), these stay as they are, of whatever rank, and the matrices beside them stay dense.

Left out: experts whose weights lie in one tensor for all of them, which stay dense.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from threading import Event
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from hyflexsim.models.lowrank import compress as low_rank
from hyflexsim.models.lowrank.adapted import adapt
from hyflexsim.models.lowrank.checkpoint import HOST_FILE, check_target
from hyflexsim.models.lowrank.compress import LinearTarget
from hyflexsim.models.lowrank.gram_svd import gram_svd
from hyflexsim.models.lowrank.layers import HARD_THRESHOLD, LowRankLinear, break_even, is_conv1d
from hyflexsim.models.lowrank.rank_baselines import ranks_within
from hyflexsim.models.lowrank.rank_learning import budget_of
from hyflexsim.models.lowrank.ranks_file import RANKS_FILE, ranks_text
from hyflexsim.models.tensor_files import TensorFiles, write_shards
from hyflexsim.models.whole_file import whole
from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.compression import name_mapping
from hyflexsim.workloads.compression.lora import Adapter
from hyflexsim.workloads.compression.own_names import OwnWeights
from hyflexsim.workloads.compression.recipe import Compress
from hyflexsim.workloads.compression.stages import rounded
from hyflexsim.workloads.extraction import model_zoo
from hyflexsim.workloads.extraction.published_names import PublishedFiles
from hyflexsim.workloads.extraction.quantised_weights import KEY, tensor_files
from hyflexsim.workloads.extraction.weight_formats import check_weights
from hyflexsim.workloads.resumable import Work, working
from hyflexsim.workloads.run.run_dir import write_json
from hyflexsim.workloads.terminal import Say

WITHOUT_DATA = (HARD_THRESHOLD, "uniform", "energy", "global")
"""Methods of a recipe that need no data."""


def compress_folder(
    folder: str | Path,
    out: str | Path,
    how: Compress | None = None,
    *,
    mapping: name_mapping.Mapping | None = None,
    adapter: Path | None = None,
    keep_adapter: bool = False,
    threads: int = 1,
    say: Say | None = None,
    fresh: bool = False,
) -> dict[str, Any]:
    """Factorise the model of a folder and write checkpoint folder `out`; returns its "about".

    `how`: method, budget, reading, round and exclude of a recipe. `mapping`: names of one's own
    format. `adapter`: a folder of LoRA's changes, merged before anything else, or with
    `keep_adapter` kept as two small factors beside matrices that stay dense. `threads`: layers at
    once, each by one thread of torch, since two threads in one decomposition wait for each other
    thousands of times; the result is the same. `about` has beside the counts `kept`: the share of
    each matrix's sum of squares that its factors keep.

    Raises InputError or ModelError for what the user has to mend.
    """
    how, say = how or Compress(), say or (lambda what, done, total: None)
    if how.method not in WITHOUT_DATA:
        raise InputError(
            f"compress.method must be {', '.join(WITHOUT_DATA)} for a folder of weights; got "
            f"{how.method}, which needs data: write a recipe with model.weights and data"
        )
    folder = check_weights(Path(folder))
    check_target(out)
    started = time.perf_counter(), time.process_time()
    name, config = model_zoo.config_of(folder)
    files = tensor_files(folder, config)
    changes = None if adapter is None else Adapter(adapter, kept=keep_adapter)
    job = _Job(name, config, files, how, mapping, changes)
    job.refuse_settings()
    with working(out, job.settings(), fresh=fresh) as work:
        job.factorise_all(work, threads, say)
        job.choose(work)
        about = job.about()
        with work.result() as made:
            say("writing", 0, 0)
            job.write(made, work, about)
            write_json(made / HOST_FILE, _host(*started))
    return about


class _Job:
    """A model without values, where its weights are, and what becomes of its matrices."""

    def __init__(
        self,
        name: str,
        config: dict[str, Any],
        files: TensorFiles,
        how: Compress,
        mapping: name_mapping.Mapping | None,
        adapter: Adapter | None,
    ):
        self.name, self.config, self.how, self._mapping = name, config, how, mapping
        self._files, self._adapter = files, adapter
        self.model: nn.Module = model_zoo.build(str(files.folder / "config.json"), config)
        self.targets = self._targets(adapter is not None and adapter.kept)
        named = PublishedFiles(files, self.model) if mapping is None else files
        self._weights = OwnWeights(self.model, named, self.targets, mapping, adapter)
        self.targets = [t for t in self.targets if t.path not in self._weights.adapted]
        self._exclude = (*low_rank.SKIP, *how.exclude, *self._weights.adapted)
        self._shapes = {
            matrix: shape
            for target in self.targets
            for matrix, shape in zip(target.matrices(), target.shapes(), strict=True)
        }
        self._ranks: dict[str, int] = {}
        self._kept: dict[str, float] = {}
        self._most = self._most_ranks()

    def refuse_settings(self) -> None:
        """Raise InputError for settings of ranks where the folder holds factors, and for a change
        that cannot be kept, since other code than its layer's reads the weight."""
        for path in self._weights.adapted:
            if any(fnmatchcase(path, pattern) for pattern in low_rank.SKIP):
                raise InputError(
                    f"--keep-adapter: {path} is read as a weight, without its change; merge it"
                )
        given = sorted(self.how.model_fields_set)
        if self._weights.factors and given:
            raise InputError(
                f"compress.{given[0]} goes with dense weights; factors of a mapping have ranks"
            )

    def settings(self) -> dict[str, Any]:
        """What tells the job apart from others when it is resumed."""
        mapping = None if self._mapping is None else self._mapping.model_dump(mode="json")
        stats = {file.name: file.stat() for file in self._files.files}
        return {
            "weights": str(self._files.folder),
            "files": {name: [stat.st_size, stat.st_mtime_ns] for name, stat in stats.items()},
            "config": self.config,
            "compress": self.how.model_dump(mode="json"),
            "mapping": mapping,
            "adapter": None if self._adapter is None else self._adapter.describe(),
        }

    def _targets(self, kept: bool) -> list[LinearTarget]:
        """Layers that may be factorised; none at all will do where an adapter is kept."""
        if not kept:
            exclude = (*low_rank.SKIP, *self.how.exclude)
            return low_rank.linear_targets(self.model, exclude=exclude)
        return [
            target
            for target in low_rank.linear_targets(self.model)
            if not any(fnmatchcase(target.path, pattern) for pattern in self.how.exclude)
        ]

    # -- ranks ------------------------------------------------------------------------------------

    def _most_ranks(self) -> dict[str, int]:
        """The largest rank that each matrix may get; none of one that stays dense."""
        most = {matrix: break_even(m, n) for matrix, (m, n) in self._shapes.items()}
        if self._weights.factors or not self.targets:
            return {}
        if self.how.method != HARD_THRESHOLD:
            self._budget = budget_of(
                self.model, self.how.budget, self.how.reading, exclude=self._exclude
            )
            if self.how.method == "uniform":  # which no singular value changes
                blank = {k: torch.ones(min(shape)).double() for k, shape in self._shapes.items()}
                most = self._within(blank)
        return {matrix: rank for matrix, rank in most.items() if rank >= 1}

    def _within(self, sigma: Mapping[str, Tensor]) -> dict[str, int]:
        spectra = {key: (*self._shapes[key], values) for key, values in sigma.items()}
        ranks = ranks_within(spectra, self._budget, self.how.method)  # type: ignore[arg-type]
        if not self.how.round:
            return ranks
        return rounded(self.model, ranks, self.how.round, self._exclude)

    def choose(self, work: Work) -> None:
        """Ranks of all matrices from their singular values; the model gets layers of these."""
        sigma = {matrix: _piece(work, matrix, "sigma") for matrix in self._most}
        if self.how.method in ("energy", "global") and sigma:
            self._ranks = self._within(sigma)
        else:
            self._ranks = dict(self._most)
        for matrix, rank in self._ranks.items():
            squares = sigma[matrix].square()
            total = squares.sum()
            self._kept[matrix] = float(squares[:rank].sum() / total) if total > 0 else 1.0
        self._ranks |= {matrix: self._weights.rank(matrix) for matrix in self._weights.factors}
        low_rank.replace(self.model, dict(self._layers()))
        adapt(self.model, self._weights.adapted)

    def _layers(self) -> Iterator[tuple[str, nn.Module]]:
        """Layers without values in place of those that are factorised."""
        for target in self.targets:
            layers = []
            for matrix, part in zip(target.matrices(), low_rank.split_layer(target), strict=True):
                rank, (m, n) = self._ranks.get(matrix), self._shapes[matrix]
                if rank is None:
                    layers.append(part)
                    continue
                bias = None if part.bias is None else torch.empty(n, device="meta")
                u, v = torch.empty(n, rank, device="meta"), torch.empty(m, rank, device="meta")
                conv = is_conv1d(part)
                layers.append(LowRankLinear(u, None, v, bias, transposed=conv))
            if any(isinstance(layer, LowRankLinear) for layer in layers):
                yield target.path, low_rank.joined(target, layers)

    # -- pieces -----------------------------------------------------------------------------------

    def factorise_all(self, work: Work, threads: int, say: Say) -> None:
        """Factors of all layers, some at once; the first failure ends it, what was done is kept."""
        stop = Event()

        def one(target: LinearTarget) -> None:
            if stop.is_set():
                return
            try:
                self.factorise(target, work)
            except BaseException:
                stop.set()
                raise

        with _torch_threads(1), ThreadPoolExecutor(threads) as pool:
            try:
                running = [pool.submit(one, target) for target in self.targets]
                for done, (target, one_of) in enumerate(zip(self.targets, running, strict=True)):
                    say(f"factorising {target.path}", done, len(running))
                    one_of.result()
            finally:
                stop.set()

    def factorise(self, target: LinearTarget, work: Work) -> None:
        """Factors of a layer's matrices at the largest ranks they may get, kept in files."""
        missing = [
            (number, matrix)
            for number, matrix in enumerate(target.matrices())
            if matrix in self._most and not _piece_file(work, matrix).is_file()
        ]
        if not missing:
            return
        _piece_file(work, "").parent.mkdir(exist_ok=True)
        weight = self._weight(target)
        for number, matrix in missing:
            part = weight.chunk(max(1, len(target.parts)))[number]
            factors = gram_svd(part, self._most[matrix])
            u, v = (t.to(weight.dtype).contiguous() for t in (factors.u, factors.v))
            with whole(_piece_file(work, matrix)) as scratch:
                save_file({"u": u, "v": v, "sigma": factors.sigma.contiguous()}, scratch)

    def _weight(self, target: LinearTarget) -> Tensor:
        """W (n, m) of a dense layer."""
        weight = self._weights.read(f"{target.path}.weight")
        return weight.T if is_conv1d(target.layer) else weight

    # -- result -----------------------------------------------------------------------------------

    def about(self) -> dict[str, Any]:
        """What the checkpoint says of itself."""
        how = self.how.model_dump(mode="json")
        merged = ""
        if self._adapter is not None:
            beside = "kept" if self._adapter.kept else "merged"
            merged = f" with {self._adapter.folder.name} {beside}"
        packed = ", unpacked from codes" if KEY in self.config else ""
        return {
            "recipe": {"name": self.name, "compress": how},
            "config": self.config,
            "origin": f"folder {self._files.folder.name}{packed}{merged}",
            "counts": low_rank.counts(self.model)._asdict(),
            "kept": {matrix: float(f"{share:.6g}") for matrix, share in self._kept.items()},
        }

    def write(self, folder: Path, work: Work, about: Mapping[str, Any]) -> None:
        """Weights in shards, a block in each, and ranks.json."""
        text = ranks_text(self.model, self._weights.tied, about=about)
        names = [name for name in self.model.state_dict() if name not in self._weights.tied]
        groups = _by_block(names, low_rank.block_paths(self.model))
        shards = ({name: self._value(name, work) for name in group} for group in groups)
        write_shards(folder, shards, len(groups))
        (folder / RANKS_FILE).write_text(text, encoding="utf-8")

    def _value(self, name: str, work: Work) -> Tensor:
        """A tensor of the compressed model, by its name there."""
        if name in self._weights.dense:
            return self._weights.read(name)
        path, _, leaf = name.rpartition(".")
        owner, _, part = path.rpartition(".")
        if owner in self._weights.adapted:
            base = part == "base"
            return (
                self._weights.read(f"{owner}.{leaf}") if base else self._weights.beside(owner, part)
            )
        if leaf in ("u", "v"):
            if path in self._weights.factors:
                return self._given(path, leaf)
            return _piece(work, path, leaf)[:, : self._ranks[path]].contiguous()
        target = next(t for t in self.targets if path in t.matrices())
        whole_one = self._weight(target) if leaf == "weight" else self._bias(target)
        parts = whole_one.chunk(max(1, len(target.parts)))
        return parts[target.matrices().index(path)].clone().contiguous()

    def _bias(self, target: LinearTarget) -> Tensor:
        return self._weights.read(f"{target.path}.bias")

    def _given(self, path: str, leaf: str) -> Tensor:
        """One of the factors that the folder holds."""
        pair = self._weights.pair(path)
        return pair.u if leaf == "u" else pair.v


@contextmanager
def _torch_threads(count: int) -> Iterator[None]:
    """So many threads of torch in each thread of Python, for the length of a with-block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _by_block(names: Sequence[str], blocks: Sequence[str]) -> list[list[str]]:
    groups: dict[str, list[str]] = {}
    for name in names:
        block = next((b for b in blocks if name.startswith(f"{b}.")), "")
        groups.setdefault(block, []).append(name)
    return list(groups.values())


def _piece_file(work: Work, matrix: str) -> Path:
    return work.path("pieces") / f"{matrix}.safetensors"


def _piece(work: Work, matrix: str, what: str) -> Tensor:
    pieces: dict[str, Tensor] = load_file(_piece_file(work, matrix))
    return pieces[what]


def _host(wall: float, cpu: float) -> dict[str, Any]:
    """What the job took, of what an interrupted one left to do."""
    return {
        "seconds": round(time.perf_counter() - wall),
        "cpu_seconds": round(time.process_time() - cpu),
    }
