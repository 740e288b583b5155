"""The plan executed in numbers: real inputs through the planned visits, held to the torch model.

::

    torch model ─export→ program ─┬─ reference.py   whole tensors, integer codes      ─┐
                                  └─ execution.py   visit by visit, as the plan says  ─┴─ table

The two sides share the exported program's element-wise functions (program.py) and how a number
becomes a code (codes.py), nothing else: the reference knows no step, array or token order, the
execution reads the plan's rows for all of these.
"""

from hyflexsim.workloads.values.executed import execute
from hyflexsim.workloads.values.several import execute_each

__all__ = ["execute", "execute_each"]
