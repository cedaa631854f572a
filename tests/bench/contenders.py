"""Who is measured: how each is told its work, started, and read; every one as its users would have it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import yaml

from tests.bench.environment import OWN, TOOLS, strategy_plugins
from tests.bench.target import ADDRESSES
from tests.bench.work import Work

DEPLOYS = Path(__file__).with_name("deploys")


class UnexpectedError(Exception):
    """A contender did not say what it had to; the message ends with its whole output."""


@dataclass(frozen=True)
class Size:
    """How much there is to do."""

    hosts: int
    operations: int

    def __str__(self) -> str:
        """`1 host, 60 operations`."""
        return f"{self.hosts} host{'' if self.hosts == 1 else 's'}, {self.operations} operations"


@dataclass(frozen=True)
class Way:
    """How hosts are reached: the same for everybody."""

    hosts: int
    key: Path
    known_hosts: Path

    @property
    def addresses(self) -> Mapping[str, str]:
        """Addresses by host name."""
        return {f"host{number:02}": address for number, address in enumerate(ADDRESSES[: self.hosts])}


class Contender(Protocol):
    """A program that can say what it would change on hosts."""

    @property
    def name(self) -> str:
        """As reports call it."""

    def write(self, folder: Path, work: Work, way: Way) -> None:
        """Write its project into an empty folder."""

    def argv(self, folder: Path) -> Sequence[str | Path]:
        """The command that tells what would change, for people."""

    def changes(self, output: str, size: Size) -> int:
        """How many changes its output tells of, on all hosts; UnexpectedError where it is not of this size."""


@dataclass(frozen=True)
class Stackctl:
    """This project's program."""

    deploy: str = "own"
    name: str = "stackctl"

    def write(self, folder: Path, work: Work, way: Way) -> None:
        """A project whose own deploy stands in the stock one's place."""
        ssh = {"user": "root", "identity": str(way.key)}
        hosts = {host: {"address": address, "profile": "all"} for host, address in way.addresses.items()}
        environment = {"environment": "bench", "profiles": {"all": {"ssh": ssh}}, "hosts": hosts}
        _write(folder / "inventory/bench.yaml", yaml.safe_dump(environment))
        _write(folder / "inventory/models.yaml", "models: {}\n")
        _write(folder / "inventory/known_hosts", way.known_hosts.read_text())
        write_deploy(folder / "deploys", work, self.deploy, "system.py")

    def argv(self, folder: Path) -> Sequence[str | Path]:
        """`stackctl plan`."""
        return [OWN / "stackctl", "plan", "bench", "--project", folder]

    def changes(self, output: str, size: Size) -> int:
        """From the last line."""
        if re.search(rf"^Nothing to do on {size.hosts} hosts?\.$", output, re.MULTILINE):
            return 0
        counts = (
            r"^Plan: (\d+) to add, (\d+) to change, (\d+) to remove(?:, (\d+) to run)? on \d+ of {} hosts?\.$"
        )
        found = re.search(counts.format(size.hosts), output, re.MULTILINE)
        if found is None:
            raise UnexpectedError(f"does not say what it should\n{output}")
        return sum(int(count or 0) for count in found.groups())


@dataclass(frozen=True)
class Pyinfra:
    """pyinfra's own command line, as it comes."""

    name: str = "pyinfra"

    def write(self, folder: Path, work: Work, way: Way) -> None:
        """An inventory and a deploy."""
        data = {
            "ssh_user": "root",
            "ssh_key": str(way.key),
            "ssh_known_hosts_file": str(way.known_hosts),
            "ssh_strict_host_key_checking": "yes",
        }
        hosts = [(address, data) for address in way.addresses.values()]
        _write(folder / "inventory.py", f"hosts = {hosts!r}\n")
        write_deploy(folder, work, "pyinfras", "bench_operations.py")
        _write(folder / "deploy.py", "from bench_operations import operations\n\noperations()\n")

    def argv(self, folder: Path) -> Sequence[str | Path]:
        """`pyinfra … --dry`."""
        return ["env", f"--chdir={folder}", OWN / "pyinfra", "inventory.py", "deploy.py", "--dry"]

    def changes(self, output: str, size: Size) -> int:
        """From its table, a row for each operation: `NAME  2 (HOST, HOST)  -`, the second column of the two
        being changes that depend on other changes.
        """
        rows = re.findall(r"^    \S.*? {2,}(-|\d+ \(.*?\)) {2,}(-|\d+ \(.*?\)) *$", output, re.MULTILINE)
        ready = re.findall(r"^ +\[\S+\] Ready: deploy\.py$", output, re.MULTILINE)
        if Size(len(ready), len(rows)) != size:
            raise UnexpectedError(f"does not say what it should\n{output}")
        return sum(int(cell.split()[0]) for row in rows for cell in row if cell != "-")


@dataclass(frozen=True)
class Ansible:
    """ansible-core with what its users turn on to make it quick."""

    name: str = "Ansible"
    mitogen: bool = False

    def write(self, folder: Path, work: Work, way: Way) -> None:
        """A configuration, an inventory and a playbook."""
        settings = {
            "inventory": "inventory.yaml",
            "forks": "50",
            "gathering": "explicit",
            "interpreter_python": "/usr/bin/python3",
        }
        if self.mitogen:
            settings |= {"strategy": "mitogen_linear", "strategy_plugins": str(strategy_plugins())}
        lines = [f"{key} = {value}\n" for key, value in settings.items()]
        # With arguments of one's own ControlMaster and ControlPersist have to be said again.
        options = f"-C -o ControlMaster=auto -o ControlPersist=60s -o UserKnownHostsFile={way.known_hosts}"
        ssh = f"\n[connection]\npipelining = True\n\n[ssh_connection]\npipelining = True\nssh_args = {options}\n"
        _write(folder / "ansible.cfg", "[defaults]\n" + "".join(lines) + ssh)
        shared = {"ansible_user": "root", "ansible_ssh_private_key_file": str(way.key)}
        hosts = {host: {"ansible_host": address} for host, address in way.addresses.items()}
        _write(folder / "inventory.yaml", yaml.safe_dump({"all": {"vars": shared, "hosts": hosts}}))
        play = {"hosts": "all", "gather_facts": False, "tasks": list(_tasks(work))}
        _write(folder / "site.yaml", yaml.safe_dump([play], sort_keys=False))
        for path, content in work.files.items():
            _write(folder / "files" / Path(path).name, content)

    def argv(self, folder: Path) -> Sequence[str | Path]:
        """`ansible-playbook --check`."""
        return ["env", f"--chdir={folder}", TOOLS / "ansible-playbook", "--check", "site.yaml"]

    def changes(self, output: str, size: Size) -> int:
        """From the recap."""
        line = rf"^\S+ +: ok={size.operations} +changed=(\d+) +unreachable=0 +failed=0 "
        recap = re.findall(line, output, re.MULTILINE)
        if len(recap) != size.hosts:
            raise UnexpectedError(f"does not say what it should\n{output}")
        return sum(map(int, recap))


def contenders() -> tuple[Contender, ...]:
    """All of them; the first is what the others are compared with."""
    return (
        Stackctl(),
        Stackctl("pyinfras", "stackctl with pyinfra's operations"),
        Pyinfra(),
        Ansible(),
        Ansible("Ansible with Mitogen", mitogen=True),
    )


def _tasks(work: Work) -> Sequence[Mapping[str, object]]:
    owned = {"owner": "root", "group": "root", "mode": "0644"}
    tasks: list[Mapping[str, object]] = [
        {"name": f"write {path}", "ansible.builtin.copy": {"src": Path(path).name, "dest": path, **owned}}
        for path in work.files
    ]
    tasks += [
        {"name": f"set {path}", "ansible.builtin.lineinfile": {"path": path, "line": line}}
        for path, line in work.lines.items()
    ]
    tasks += [{"name": f"install {name}", "ansible.builtin.apt": {"name": name}} for name in work.packages]
    tasks += [
        {
            "name": f"run {unit}",
            "ansible.builtin.systemd_service": {"name": unit, "state": "started", "enabled": True},
        }
        for unit in work.units
    ]
    return tasks


def write_deploy(folder: Path, work: Work, deploy: str, name: str) -> None:
    _write(folder / name, (DEPLOYS / f"{deploy}.py").read_text())
    _write(folder / "work.json", work.json())
    for path, content in work.files.items():
        _write(folder / Path(path).name, content)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
