"""One line for each thing that happens during a run."""

from stackctl.plan.event import Event

_WORDS = {
    "connected": "connected",
    "planned": "state read",
    "started": "{text} …",
    "done": "{text}: done",
    "failed": "{text}: failed",
    "reconnecting": "checking that a fresh connection finds its way in",
    "rebooting": "rebooting, {text} …",
    "verifying": "checking that nothing is left",
    "finished": "finished",
}


def line(event: Event, width: int = 0) -> str:
    """`gpu1  docker · install the engine: done`."""
    return f"{event.host:<{width}}  {_WORDS[event.kind].format(text=event.text)}"
