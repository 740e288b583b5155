"""How a notebook comes to show a result: as HTML that a file beside its pictures makes.

Nothing here loads pictures, which need results, or pandas.
"""

from importlib import import_module
from typing import ClassVar


class Shown:
    """Has a notebook show what function ``html`` of the file that ``SHOWN`` names makes of it.

    That file is imported by name and when it is asked for: pictures are made of runs, sweeps and
    studies, which therefore know no pictures.
    """

    SHOWN: ClassVar[str]

    def _repr_html_(self) -> str:
        made: str = import_module(f"hyflexsim.analysis.{self.SHOWN}").html(self)
        return made
