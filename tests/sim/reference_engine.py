"""The plainest event loop that obeys the rules of docs/architecture.md; for comparison only.

No SimPy, no cleverness: at every instant it looks at everything. Written from the rules, not from
the engine.
"""

import heapq

from hyflexsim.sim.plan.plan import Group, Plan, size_of, tokens_of
from hyflexsim.sim.routing import taken as taken_by


def play(plan: Plan, requests, deaths=None):
    """Return sorted rows (step, request, token, arrival, start, end), or raise on deadlock.

    What a component of ``deaths`` has not finished by then it never finishes.
    """
    dies = deaths or {}
    steps = plan.steps
    done = {}  # (step, request, token): end
    waiting = set()  # (step, request, token) whose inputs are not all there
    queues = {i: [] for i in range(len(plan.components))}
    busy = {}
    events = []  # (time, component)
    taken = {i: 0 for i, s in enumerate(steps) if s.places is not None}
    gone = []  # (time from which a freed place is seen, step)
    rows = []
    entering = [(r.arrival, i) for i, r in enumerate(requests)]

    def shape(request):
        r = requests[request]
        return r.tokens, r.prefill or r.tokens

    def there(step, request):
        """Tokens of a step that are done when the request comes: those that it held before."""
        tokens, held = requests[request].tokens, requests[request].held
        if step.head or step.axis == "single":
            return range(0)
        if step.routed:
            held = sum(token < held for token in taken_by(step.routed, tokens).tolist())
        return range(held * step.parts)

    def inputs_there(step, request, token):
        tokens, prefill = shape(request)
        s = steps[step]
        for edge in s.inputs:
            src = steps[edge.source]
            count = tokens_of(src, tokens, prefill)
            if isinstance(edge, Group):
                if src.axis == "single" and s.axis != "single":
                    wanted = range(count)
                else:
                    off = lambda x: prefill - 1 if x.head else 0  # noqa: E731
                    k = token // edge.spread + off(s) - edge.lag - off(src)
                    if k < 0:
                        continue
                    wanted = range(k * edge.every, min((k + 1) * edge.every, count))
            elif edge.rule == "routed":  # an expert's token from all tokens, or the other way
                base, out = token // s.parts, taken_by(src.routed or s.routed, tokens).tolist()
                met = out.index(base) + 1 if base in out else 0
                need = out[base] + 1 if s.routed else met
                wanted = range(need * src.parts)
            else:
                base = token // s.parts
                need = {
                    "prefix": min(
                        base + 1 + (prefill - 1) * s.head + edge.ahead, count // src.parts
                    ),
                    "all": count // src.parts,
                    "first": 1,
                    "last": count // src.parts,
                    "chunk": chunk_of(request, min(base, prefill - 1), edge.stride),
                }[edge.rule]
                wanted = range(need * src.parts)
            if any((edge.source, request, t) not in done for t in wanted):
                return False
        return True

    def chunk_of(request, token, size):
        """Where the chunk of a token of the prompt begins; the first begins where computing does"""
        held = requests[request].held
        return held + (token - held) // size * size

    def places(step, now):
        freed = sum(1 for time, i in gone if i == step and time <= now)
        return steps[step].places - taken[step] + freed

    def may_start(visit, now):
        _, step, _, token = visit
        s = steps[step]
        return token % s.parts != 0 or all(places(i, now) >= 1 for i in s.reserves)

    def begin(component, visit, now):
        _, step, request, token = visit
        s = steps[step]
        if token % s.parts == 0:
            for i in s.reserves:
                taken[i] += 1
            if s.places is not None:
                gone.append((now + 1, step))
        queues[component].remove(visit)
        busy[component] = (visit, now)
        tokens, prefill = shape(request)
        time = s.rate.ps(int(size_of(s, token, tokens, prefill, requests[request].work)))
        if now + time <= dies.get(component, now + time):
            heapq.heappush(events, (now + time, component))

    def first(step, component):
        """The first token of a step at a component, or nothing."""
        return sorted(visit for visit in queues[component] if visit[1] == step)[:1]

    def take_turns(sequencer, now):
        """One step: of the request that had the turn, and that step itself, if they can go on."""
        if any(component in busy for component in led[sequencer]):
            return
        heads = [
            (component, visit)
            for component in led[sequencer]
            for step in {visit[1] for visit in queues[component]}
            for visit in first(step, component)
        ]

        def rank(head):
            _, (arrival, step, request, token) = head
            other = request != turn[sequencer][1], (step, request) != turn[sequencer]
            return (*other, request, arrival, step, token)

        for component, visit in sorted(heads, key=rank):
            if may_start(visit, now):
                _, step, request, _ = visit
                turn[sequencer] = (step, request)
                lanes = steps[step].lanes
                at = lanes.index(component)
                for lane in lanes[at:] + lanes[:at]:
                    for own in first(step, lane):
                        if may_start(own, now):
                            begin(lane, own, now)
                return

    led = {}  # sequencer: components that take turns under it
    for i, c in enumerate(plan.components):
        if c.sequencer is not None:
            led.setdefault(c.sequencer, []).append(i)
    turn = dict.fromkeys(led, (None, None))
    now = 0
    while True:
        for arrival, request in list(entering):
            if arrival == now:
                entering.remove((arrival, request))
                tokens, prefill = shape(request)
                begun = [there(s, request) for s in steps]
                done |= {(i, request, t): now for i, each in enumerate(begun) for t in each}
                waiting |= {
                    (i, request, t)
                    for i, s in enumerate(steps)
                    for t in range(len(begun[i]), tokens_of(s, tokens, prefill))
                }
        while events and events[0][0] == now:
            _, component = heapq.heappop(events)
            (arrival, step, request, token), start = busy.pop(component)
            done[(step, request, token)] = now
            rows.append((step, request, token, arrival, start, now))
        for key in sorted(waiting):
            step, request, token = key
            if inputs_there(*key):
                waiting.remove(key)
                lanes = steps[step].lanes
                first_lane = request // plan.members if plan.in_turn else 0
                lane = lanes[(token // steps[step].planes + first_lane) % len(lanes)]
                queues[lane].append((now, *key))
        for component, row in enumerate(plan.components):
            if component in led:
                take_turns(component, now)
                continue
            if component in busy or row.sequencer is not None:
                continue
            blocked = set()
            for visit in sorted(queues[component]):
                _, step, request, token = visit
                if step in blocked:
                    continue
                if not may_start(visit, now):
                    blocked.add(step)
                    continue
                begin(component, visit, now)
                break
        future = [t for t, _ in events[:1]] + [a for a, _ in entering]
        future += [t for t, _ in gone if t > now]
        if not future:
            break
        now = min(future)
    if (waiting or any(queues.values())) and not any(component in dies for component in busy):
        raise RuntimeError("deadlock")
    return sorted(rows)
