"""The runs that hosts have a record of."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict

from stackctl.plan.receipt import Step, Visit
from stackctl.views.drift import commit, moment
from stackctl.views.plan import SIGNS
from stackctl.views.terminal import plain


def history_text(history: Mapping[str, Sequence[Visit]]) -> str:
    """Host by host, runs in the order of the host's own log, newest last, with what each one did."""
    return plain("\n".join(line for host in sorted(history) for line in _host(host, history[host])))


def history_json(history: Mapping[str, Sequence[Visit]]) -> str:
    """The records' values, as they are."""
    hosts = {host: [asdict(visit) for visit in visits] for host, visits in sorted(history.items())}
    return json.dumps({"format": 1, "hosts": hosts}, indent=2)


def _host(host: str, visits: Sequence[Visit]) -> Iterator[str]:
    yield host if visits else f"{host}  has no record of any run"
    for visit in visits:
        yield (
            f"  {moment(visit.at)}  {visit.who} from {visit.machine}{commit(visit.commit)}"
            f", stackctl {visit.version}: {visit.result}"
        )
        width = max((len(_name(step)) for step in visit.steps), default=0)
        for step in visit.steps:
            result = "" if step.result == "done" else f": {step.result}"
            yield f"    {SIGNS.get(step.action, '~')} {_name(step):<{width}}  {step.reason}{result}"
        yield from (f"    {note}" for note in visit.notes)


def _name(step: Step) -> str:
    return f"{step.capability} · {step.operation}"
