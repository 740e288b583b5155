"""What the compiled loop and its caller agree on: registers, and why the loop has returned."""

from __future__ import annotations

NONE = 2**32 - 1
"""An index where there is none."""

HEAP = NONE - 1
"""In place of a channel's position: its component keeps channels that may start in a heap."""

DIED = -1
"""In place of the time at which a component dies: it has, with a token that it never ends."""

FINE = 9
DIGIT = 12
SLOTS = 2**DIGIT
DIGITS = 5
"""The wheel (wheel.py) takes times, in units of 2^9 ps, as numbers of five digits of 12 bits."""

WORDS = SLOTS // 64
BITS = DIGITS * WORDS + DIGITS
"""Words that say which slots of a digit hold events; and of each digit, which words are not 0."""

EMPTY, HOLDS, BUSY, TURN = range(4)
"""States of a component: nothing in hand, a token, one being served; a sequencer: it may decide."""

KEPT, TAKEN, DROPPED = range(1, 4)
"""What has become of the pages of a request that has left, which stayed for its next turn: nothing
yet, that one has them, others needed them. 0: they did not stay."""

DONE, FULL, ROOM, SHAPE = range(4)
"""Why the loop has returned: nothing moves; the block of the trace is full; a table is; a request
that enters again has a shape that is not there (None of these: it goes on)."""

(
    NOW,  # time of the last event, ps
    PENDING,  # digits of a time (wheel.py) whose slots hold events
    IDLE,  # 1: some component decides when the instant is over
    FREE_NODE,  # first free node of the channels
    FREE_NODES,  # how many
    BYTES,  # used in `waits`
    MARKS,  # used in `marks`
    BLOCKS,  # used in `blocks`
    SEEN,  # first turns of conversations that have come, and that the host knows of
    COMING,  # first of the next turns that have come, and that it does not know of yet
    CAME,  # requests that the host knows of
    TIMED,  # 1: the host has an event, when the next one comes
    PLACES,  # of the queue of a member
    SHORTEST,  # 1: requests join the member with the fewest; 0: each in turn
    ASKED,  # conversations that clients have begun
    SESSIONS,  # 1: there are conversations; 0: each request stands for itself
    CLOSED,  # 1: clients send requests
    IDLING,  # clients that have not begun
    LIVE,  # requests on the chip
    PEAK_LIVE,
    PAGE,  # tokens of a page; 0: memories are not counted in pages
    WANTED,  # a request that enters again, and has a new shape
    HOST_DUE,  # 1: the host decides when the instant is over
    LEFT,  # requests that have left
    FAN_OUT,  # nodes for what one finished token may release at most, and for all tokens in hand
    ROWS,  # rows in the trace block
    COMPONENTS,  # events up to here are the end of a visit there
    HOST,  # event of the host; before it are credits of buffers, behind it clients
    REGISTERS,  # how many there are
) = range(29)
"""Numbers of which a run has one."""
