"""What a host's operations note about what they keep, once all facts are known."""

from stackctl.engine.run import Run
from stackctl.ops.trace import tracing


def seen(run: Run, host: str = "gpu1") -> dict[str, dict[str, str]]:
    """State by thing, as the host is now."""
    assert run.plan().findings == ()
    declared = run.declared[host]
    with declared.context(), tracing() as trace:
        for operation in declared.operations:
            list(operation.commands())
    return trace.seen
