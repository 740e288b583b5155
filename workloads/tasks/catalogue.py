"""The task of each data set by name.

::

    sentences.py   glue/*                    classes of sentences; similarity of two (stsb)
    language.py    wikitext-2, pydoc, ...    the next token; perplexity
    images.py      cifar10, digits           classes of images
    jets.py        jets, jets-20k            classes of jets
"""

from __future__ import annotations

import inspect
import typing
from typing import Any

from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.nearest import nearest
from hyflexsim.workloads.tasks import images, jets, language, sentences
from hyflexsim.workloads.tasks.base import Task

KINDS: dict[str, Any] = {
    "glue/stsb": sentences.Similarity,
    **dict.fromkeys(("glue/mrpc", "glue/sst2", "glue/cola", "glue/rte"), sentences.Classes),
    **dict.fromkeys(("wikitext-2", "tinyshakespeare", "pydoc"), language.NextToken),
    "stories": language.OwnStories,
    **dict.fromkeys(("cifar10", "digits"), images.Images),
    **dict.fromkeys(("jets", "jets-20k"), jets.JetClasses),
}
"""Class of the task by name of the data set."""


def load_task(name: str, *, tokenizer: Any = None, options: dict[str, Any] | None = None) -> Task:
    """The task of a data set.

    `tokenizer`: the model's, for text. `options`: keyword arguments of the task's class (max
    length, window, limits). Raises InputError for an unknown data set or option.
    """
    if name not in KINDS:
        raise InputError(f"data.name: no data set {name!r}; {nearest(name, KINDS)}")
    arguments = dict(options or {})
    kind = KINDS[name]
    known = set(inspect.signature(kind.__init__).parameters) - {"self", "name", "tokenizer"}
    for key, value in arguments.items():
        if key not in known:
            raise InputError(f"data.{key}: not an option of {name}; {nearest(key, sorted(known))}")
        _check_option(key, value, kind)
    if kind.wants_tokenizer:
        arguments["tokenizer"] = tokenizer
    return kind(name, **arguments)  # type: ignore[no-any-return]


def _check_option(key: str, value: Any, kind: Any) -> None:
    """Raise InputError unless an option of a task has the type of its argument."""
    wanted = typing.get_type_hints(kind.__init__)[key]
    options = typing.get_args(wanted) or (wanted,)
    if type(value) not in options:
        words = {int: "an integer", str: "a text", bool: "true or false"}
        allowed = " or ".join(words[option] for option in options if option in words)
        raise InputError(f"data.{key} must be {allowed}; got {value!r}")
    if type(value) is int and value < (0 if key == "seed" else 1):
        raise InputError(f"data.{key} must be at least 1; got {value}")
