"""Commands about one host need not be told its environment."""

from pathlib import Path

from stackctl.capabilities import load_fleet
from stackctl.core.finding import Finding, FindingsError
from stackctl.schema.load import environments
from stackctl.schema.wording import similar


def environment_of(root: Path, host: str) -> str:
    """The one environment that has the host; one with mistakes in it is told of only where it may be meant."""
    having: list[str] = []
    known: set[str] = set()
    broken: list[Finding] = []
    for name in environments(root):
        try:
            hosts = load_fleet(root, name).hosts
        except FindingsError as error:
            broken += error.findings
        else:
            known |= hosts.keys()
            having += [name] if host in hosts else []
    if len(having) == 1:
        return having[0]
    if having:
        hint = f"name one with `--environment`: {', '.join(having)}"
        raise FindingsError(Finding("HOST", f"`{host}` is in {len(having)} environments", hint))
    if broken:
        raise FindingsError(*broken)
    raise FindingsError(Finding("HOST", f"no environment has a host `{host}`", similar(host, sorted(known))))
