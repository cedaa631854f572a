"""What a host's operations note about what they keep, once all facts are known."""

from stackctl.engine.run import Run
from stackctl.plan.receipt import Things


def seen(run: Run, host: str = "gpu1") -> Things:
    """State by thing, as the host is now."""
    assert run.plan().findings == ()
    return run.readings[host].things
