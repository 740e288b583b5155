"""Where a value comes from: as it was written, with its unit, its status and its source."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple, get_args

from pydantic import BaseModel, ConfigDict, Field

Status = Literal["stated", "derived", "third-party", "fitted", "inferred", "assumed"]
STATUSES: tuple[str, ...] = get_args(Status)
ASSUMPTIONS = ("fitted", "inferred", "assumed")
"""What no paper gives; ``fitted``: follows from a fit to the very figures it is compared with."""


class Record(BaseModel):
    """A value as it was written, and where it comes from."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    value: int | float | str
    unit: str = ""
    status: Status
    source: Annotated[str, Field(min_length=1)]
    note: str = ""


class Row(NamedTuple):
    """One line of a table of parameters: the value as it was written."""

    key: str
    value: int | float | str
    unit: str
    status: str
    source: str
