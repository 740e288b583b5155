"""Input and output buffers: how many tokens wait at a component.

A buffer is a process of its own in the engine (``InputBuffer`` of engine/servers.py): a token
takes a place when the component before it *starts*, and the place comes free when the token itself
is started; the news travels for 1 ps. A full buffer thus holds back everything before it.

An op's input vector waits in the input registers of its PU's digital modules (8 x 1 KB); the
analog module's own register of 64 B holds one bit-plane of it. Results go to the output
registers (8 x 1 KB). Every copy of a matrix brings buffers of that size along: it lies in other
modules with registers of their own, and copies that shared one buffer would wait for each other.
Data that waits for other tokens (keys, values, residuals) is not in a buffer
but in digital-PIM memory, whose capacity the placement checks.

Source: HyFlexPIM Table 2 (register sizes); which data waits where is our reading.
"""

from __future__ import annotations

from hyflexsim.sim.chip.hardware import Hardware


def places(hw: Hardware, side: str, token_bytes: int, pus: int = 1) -> int:
    """Tokens that fit into an op's ``input`` or ``output`` buffer on ``pus`` PUs, at least one.

    A token larger than the buffer streams through it in pieces, so it is alone there.

    >>> places(Hardware.load("hyflexpim"), "input", 1024)
    8
    """
    size = hw.buffer.input_bytes if side == "input" else hw.buffer.output_bytes
    return max(1, pus * size // token_bytes)
