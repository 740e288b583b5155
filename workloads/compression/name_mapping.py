"""Where the tensors of one's own files belong in a model: a mapping, one TOML file.

Two lists, either of which may be left out::

    [[factors]]                                  # matrices that the file holds as two factors
    matrix = "model.layers.{layer}.{part}"       # path of the matrix in the model
    u = "blocks.{layer}.{part}.up.weight"        # (outputs, rank)
    v = { name = "blocks.{layer}.{part}.down.weight", transpose = true }   # (inputs, rank)
    sigma = "blocks.{layer}.{part}.scale"        # (rank,); left out: within u or v

    [[dense]]                                    # parameters that the file calls otherwise
    parameter = "model.embed_tokens.weight"      # name in the model
    name = "embedding"
    transpose = true                             # of a matrix; default: false
    scale = 0.5                                  # the tensor is multiplied by it; default: 1

W = u diag(sigma) v^T, (outputs, inputs), as torch's Linear keeps it. A word in braces stands for
whatever is in its place, the same in all names of an entry. The first entry whose tensors are in
the file counts; a parameter that no entry gives has the model's own name.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeVar

from pydantic import Field, ValidationError, field_validator

from hyflexsim.sim import toml_file
from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.nearest import nearest
from hyflexsim.workloads.scenario.refusals import refusal
from hyflexsim.workloads.scenario.schema import Section, Text, allows

_WORD = re.compile(r"\\\{(\w+)\\\}")


class Tensor(Section):
    """A tensor of the file: its name, and what is done to it."""

    name: Text
    transpose: bool = False
    scale: Annotated[float, allows("a number other than 0")] = 1.0

    @field_validator("scale")
    @classmethod
    def _not_zero(cls, scale: float) -> float:
        if scale == 0:
            raise ValueError
        return scale

    def filled(self, words: dict[str, str]) -> Tensor:
        """The tensor of one matrix or parameter."""
        return self.model_copy(update={"name": _filled(self.name, words)})


Place = Annotated[Text | Tensor, allows("a name, or a table with name, transpose and scale")]


class FactorsEntry(Section):
    """Matrices that are there as factors."""

    matrix: Text
    u: Place
    v: Place
    sigma: Place | None = None


class DenseEntry(Tensor):
    """Parameters that the file calls otherwise."""

    parameter: Text


Entry = TypeVar("Entry", FactorsEntry, DenseEntry)


class Factors(NamedTuple):
    """The tensors of one matrix."""

    u: Tensor
    v: Tensor
    sigma: Tensor | None


class Mapping(Section):
    """Which tensor of a file is which of a model."""

    factors: list[FactorsEntry] = Field(default_factory=list)
    dense: list[DenseEntry] = Field(default_factory=list)

    @classmethod
    def load(cls, path: Path) -> Mapping:
        """The mapping of a TOML file. Raises InputError with file, key and what is allowed."""
        content = toml_file.read(path)
        for key in content:
            if key not in cls.model_fields:
                raise InputError(
                    f"{path.name}: unknown key {key!r}; {nearest(key, cls.model_fields)}"
                )
        factors = _entries(path.name, content, "factors", FactorsEntry)
        dense = _entries(path.name, content, "dense", DenseEntry)
        for number, entry in enumerate(factors):
            places = [p for p in (entry.u, entry.v, entry.sigma) if p is not None]
            names = [place if isinstance(place, str) else place.name for place in places]
            _check(f"{path.name}: factors.{number}", entry.matrix, names)
        for number, other in enumerate(dense):
            _check(f"{path.name}: dense.{number}", other.parameter, [other.name])
        return cls(factors=factors, dense=dense)

    def factors_of(self, matrix: str, there: Container[str]) -> Factors | None:
        """The factors of a matrix of the model; None where no entry finds them all in the file."""
        for entry in self.factors:
            words = _words(entry.matrix, matrix)
            if words is None:
                continue
            u, v = _placed(entry.u, words), _placed(entry.v, words)
            sigma = None if entry.sigma is None else _placed(entry.sigma, words)
            if all(each.name in there for each in (u, v, sigma) if each is not None):
                return Factors(u, v, sigma)
        return None

    def dense_of(self, parameter: str, there: Container[str]) -> Tensor | None:
        """The tensor of a parameter of the model; None where no entry finds it in the file."""
        return next((each for each in self._dense(parameter) if each.name in there), None)

    def _dense(self, parameter: str) -> Iterator[Tensor]:
        for entry in self.dense:
            words = _words(entry.parameter, parameter)
            if words is not None:
                yield entry.filled(words)


def _entries(file: str, content: dict[str, Any], key: str, kind: type[Entry]) -> list[Entry]:
    """A list of tables, each refused by itself."""
    tables = content.get(key, [])
    if not isinstance(tables, list):
        raise InputError(f"{file}: {key} must be a list of tables, [[{key}]]; got {tables!r}")
    made = []
    for number, table in enumerate(tables):
        try:
            made.append(kind.model_validate(table))
        except ValidationError as error:
            raise refusal(kind, f"{file}: {key}.{number}", error) from None
    return made


def _placed(place: str | Tensor, words: dict[str, str]) -> Tensor:
    return (Tensor(name=place) if isinstance(place, str) else place).filled(words)


def _words(pattern: str, name: str) -> dict[str, str] | None:
    """What the words in braces stand for; None where the name is another.

    >>> _words("layers.{layer}.{part}", "layers.3.mlp.up")
    {'layer': '3', 'part': 'mlp.up'}
    """
    parts = _WORD.split(re.escape(pattern))
    seen: set[str] = set()
    for number in range(1, len(parts), 2):
        word = parts[number]
        parts[number] = f"(?P={word})" if word in seen else f"(?P<{word}>.+?)"
        seen.add(word)
    found = re.fullmatch("".join(parts), name)
    return None if found is None else found.groupdict()


def _filled(name: str, words: dict[str, str]) -> str:
    return re.sub(r"\{(\w+)\}", lambda match: words[match[1]], name)


def _check(at: str, pattern: str, names: list[str]) -> None:
    """Every word of a name must be one of the pattern that says what it stands for."""
    known = set(re.findall(r"\{(\w+)\}", pattern))
    for word in sorted(known):
        if not word.isidentifier():
            raise InputError(f"{at}: {{{word}}} must be a word; got {pattern!r}")
    for name in names:
        for word in re.findall(r"\{(\w+)\}", name):
            if word not in known:
                raise InputError(f"{at}: {{{word}}} of {name!r} must be in {pattern!r}, too")
