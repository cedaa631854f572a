"""The way to each host of a fleet."""

from stackctl.core.connection import Connection
from stackctl.project import Project
from stackctl.schema.fleet import Fleet

LAB_STATE = "/var/lib/stackctl-lab"


def connection(fleet: Fleet, project: Project, host: str) -> Connection:
    """The way to a host; a lab's hosts are reached by the lab's own key, from inside its network."""
    wanted = fleet.hosts[host]
    ssh = wanted.ssh
    lab = f"{LAB_STATE}/{fleet.environment}" if fleet.lab is not None else None
    return Connection(
        host=host,
        address=ssh.address or str(wanted.address),
        port=ssh.port,
        user=ssh.user or ("root" if lab else None),
        identity=ssh.identity or (f"{lab}/id_ed25519" if lab else None),
        known_hosts=(f"{lab}/known_hosts" if lab else str(project.known_hosts),),
        host_keys=ssh.host_keys,
        jump=ssh.jump,
        sudo=ssh.sudo,
        sudo_password=ssh.sudo_password,
        namespace=f"stackctl-{fleet.environment}-operator" if lab else None,
        timeout=ssh.timeout,
    )
