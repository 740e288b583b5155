"""Records of the compiled loop: what its tables hold.

One record type a noun, so that all the loop needs to know of a step, a channel or a component lies
in one or two cache lines. ``*_at`` fields are positions in another table. The records are also the
whole state of a run, which may thus stop at any event, get more room, and go on.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

EVENT = np.dtype([("time", "i8"), ("next", "u4"), ("_", "u4")])  # `next`: in its slot
SLOT = np.dtype([("first", "u4"), ("last", "u4")])
STEP = np.dtype(
    [
        ("ps", "i8"),  # how long a visit takes, if always the same; else 0
        ("planes", "u2"),  # at most the bits of a number
        ("answers", "u1"),
        ("size", "u1"),  # of a token: tally.SIZES
        ("parts", "u4"),
        ("lanes", "u4"),
        ("lane_at", "u4"),
        ("sequenced", "u4"),  # 1: a sequencer decides when its components serve
        ("sampled", "u4"),  # 1: its tokens are answers, which are fed back if there is room
        ("duration", "u4"),
        ("own", "u4"),  # its input buffer
        ("reserves", "u4"),
        ("reserve_at", "u4"),
        ("outputs", "u4"),
        ("output_at", "u4"),
        ("follower", "u4"),  # the step that all of its tokens go to, if nothing else is to be done
        ("prefix", "u4"),  # mark of its unbroken prefix, where thresholds wait for its tokens
    ]
)
OUTPUT = np.dtype(
    [
        ("step", "u4"),
        ("edge", "u4"),
        ("mark", "u4"),
        ("group", "u2"),  # 0: a stream in requests of every length
        ("only", "u2"),  # 1: nothing else is waited for, in requests of every length
    ]
)
LANE = np.dtype(
    [
        ("channel", "u4"),
        ("component", "u4"),  # that decides when a token is served: the channel's
        ("server", "u4"),  # that serves it: the same, but under a sequencer
        ("_", "u4"),
    ]
)
CHANNEL = np.dtype(  # tokens of one step for one lane, in serving order
    [
        ("arrival", "i8"),  # of the first
        ("step", "u4"),
        ("component", "u4"),  # that decides
        ("head", "u4"),
        ("tail", "u4"),
        ("next", "u4"),  # waiting for a place in the same buffer
        ("place", "u4"),  # among the sequencer's in `ready`, or NONE; HEAP: there is no sequencer
    ]
)
COMPONENT = np.dtype(
    [
        ("ready_at", "u4"),  # channels that may start: in `ready` from here, in a heap
        ("ready", "u4"),  # how many
        ("state", "u4"),
        ("channel", "u4"),  # of a token in hand that may yet be put down
        ("step", "u4"),  # of a sequencer: what had the turn, step and request
        ("request", "u4"),
        ("token", "u4"),
        ("arrival", "i8"),
        ("started", "i8"),
        ("counted_at", "i8"),
        ("peak", "i4"),  # most at the end of an instant before `counted_at`
        ("queued", "i4"),  # tokens that wait here
        ("serving", "u4"),  # components of a sequencer that serve; 64 bytes: one cache line
    ]
)
BUFFER = np.dtype(
    [
        ("free", "i8"),
        ("freed", "i8"),  # places given back at `freed_at`: seen from the next picosecond on
        ("freed_at", "i8"),
        ("least_free", "i8"),
        ("scheduled", "u4"),
        ("first", "u4"),  # channels that wait for a place
        ("last", "u4"),
    ]
)
NODE = np.dtype(  # a token in a channel
    [("arrival", "i8"), ("request", "u4"), ("token", "u4"), ("next", "u4"), ("previous", "u4")]
)
EDGE = np.dtype(
    [
        ("kind", "u4"),
        ("every", "u4"),
        ("spread", "u4"),
        ("broadcast", "u4"),
        ("shift", "i8"),
        ("last", "i8"),
        ("here", "i8"),
        ("begin", "i8"),
        ("need_at", "i8"),
    ]
)
SHAPE = np.dtype(
    [
        ("visits", "i8"),
        ("bytes", "i8"),  # of `waits` that a request needs
        ("template_at", "i8"),
        ("marks", "i8"),  # of `marks` that a request needs
        ("marks_at", "i8"),  # what they are when it enters: in `begun`
        ("initial", "i8"),
        ("initial_at", "i8"),
        ("free_block", "u4"),
        ("member", "u4"),  # that serves it
    ]
)
TOKEN = np.dtype([("step", "u4"), ("token", "u4")])
REQUEST = np.dtype(
    [
        ("arrival", "i8"),
        ("left", "i8"),  # visits until it leaves
        ("need", "i8"),  # of the memory of a member, while it is there
        ("shape", "u4"),
        ("block", "u4"),
        ("bytes_at", "u8"),  # of that block
        ("marks_at", "u8"),
        ("base", "u4"),  # its shape on the first of the members that serve its model
        ("choices", "u4"),  # how many these are
        ("turn", "u4"),  # which of them it goes to where each has its turn
        ("dealt", "u4"),  # where the dealing of its tokens to lanes begins
    ]
)
MEMBER = np.dtype(  # a chip, or a model's part of one, as its host knows it
    [
        ("window", "i8"),  # most requests on it at once
        ("memory", "i8"),  # what it has for them
        ("live", "i8"),  # requests on it
        ("held", "i8"),  # of its memory, by these
        ("waiting", "i8"),  # requests that wait for it
        ("first", "u4"),  # of these
        ("last", "u4"),
        ("asking", "i8"),  # requests on it that wait for room for another token
        ("kept", "i8"),  # of its memory, by requests that have left it
        ("oldest", "u4"),  # of these, that which left first
        ("newest", "u4"),
    ]
)
SESSION = np.dtype(  # a request as a turn of a conversation
    [
        ("earliest", "i8"),  # ps at which it may come
        ("left_at", "i8"),
        ("before", "u4"),  # the turn before it
        ("after", "u4"),  # the turn behind it
        ("begun", "u4"),  # like `base`, where its first tokens' keys and values are there
        ("kept", "u4"),  # KEPT, TAKEN, DROPPED; 0: its pages did not stay
        ("older", "u4"),  # of those whose pages stay: that which left before it
        ("newer", "u4"),
        ("keeps", "u4"),  # 1: its pages stay when it leaves
        ("_", "u4"),
    ]
)
GROWING = np.dtype(  # a request whose memory is counted in pages
    [
        ("tokens", "i8"),
        ("length", "i8"),  # tokens whose keys and values it holds
        ("entered", "i8"),  # with so many
        ("asking", "u4"),
        ("step", "u4"),  # and the token that is to be fed back
        ("token", "u4"),
        ("again", "u4"),  # 1: it has given its pages up, and its next shape is not known
    ]
)
BLOCK = np.dtype([("bytes_at", "i8"), ("marks_at", "i8"), ("next", "u4")])


class Tables(NamedTuple):
    """Everything the loop reads and writes."""

    registers: np.ndarray
    steps: np.ndarray
    lanes: np.ndarray  # by step and lane
    reserves: np.ndarray  # buffers
    outputs: np.ndarray
    edges: np.ndarray  # (shapes, edges)
    durations: np.ndarray  # (shapes, durations): ps, or -1 - position in `times`
    times: np.ndarray
    needs: np.ndarray
    waits_at: np.ndarray  # (shapes, steps): position in a request's block of `waits`
    prefix_at: np.ndarray  # (shapes, steps): the same, of bits for tokens done out of order
    templates: np.ndarray
    begun: np.ndarray  # tokens of producers that are done from the start
    initial: np.ndarray
    shapes: np.ndarray
    requests: np.ndarray
    channels: np.ndarray
    components: np.ndarray
    dies: np.ndarray  # by component: ps after which it ends nothing, DIED with a token in hand
    ready: np.ndarray
    buffers: np.ndarray
    events: np.ndarray
    slots: np.ndarray  # of the wheel: registers.DIGITS times SLOTS
    bits: np.ndarray  # which of them hold events
    idle: np.ndarray
    nodes: np.ndarray
    waits: np.ndarray
    marks: np.ndarray
    blocks: np.ndarray
    entered: np.ndarray
    first_output: np.ndarray
    finished: np.ndarray
    members: np.ndarray
    growing: np.ndarray  # by request
    present: np.ndarray  # (members, most requests): those that are there, in order; for pages
    firsts: np.ndarray  # requests that come after no other one, in order
    sessions: np.ndarray  # by request, where there are conversations
    came: np.ndarray  # by request: as which one of all it came
    behind: np.ndarray  # by request that waits at the host, or comes: the next one
    refused: np.ndarray  # by request: 1 if it found the queue full
    thinks: np.ndarray  # by request: ps until its client sends the next, where clients send them
    clients: np.ndarray  # by request: its client
    asks: np.ndarray  # by client: the turn that comes next, NONE: that of a new conversation
    left: np.ndarray  # requests in the order in which they left
