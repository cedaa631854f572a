"""What the host lets in: a table of our own that closes it to all that is not declared."""

from collections.abc import Sequence

from pyinfra.api.deploy import deploy

from stackctl.capabilities.firewall import NFTABLES_FILE, PACKAGES, RULES_FILE, UNIT_FILE, FirewallSpec
from stackctl.core.artifact import Artifact
from stackctl.ops import apt
from stackctl.ops import firewall as rules


@deploy("firewall")
def firewall(spec: FirewallSpec, artifacts: Sequence[Artifact]) -> None:
    """One change under guard: a host that cannot be reached afterwards takes it back."""
    named = {artifact.path: artifact for artifact in artifacts}
    apt.packages(name="install nftables", names=PACKAGES)
    units = [named[UNIT_FILE], named[NFTABLES_FILE]]
    rules.enforced(name="enforce the rules", spec=spec, rules=named[RULES_FILE], units=units)
