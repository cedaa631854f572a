"""Call a host's deploys, so that their operations register; nothing runs."""

import importlib.util
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from pyinfra.api import Config, Inventory, State, arguments
from pyinfra.api.host import HostData
from pyinfra.context import ctx_config, ctx_host, ctx_inventory, ctx_state

from stackctl.core.finding import Finding, FindingsError
from stackctl.core.job import Job
from stackctl.engine.connector import Known, UnansweredError
from stackctl.ops.fleet import Told, telling
from stackctl.ops.step import NotSettledError
from stackctl.ops.trace import hangs_on

# The names and types of pyinfra's own arguments, which it works out anew for every operation and every fact.
arguments.all_global_arguments = cache(arguments.all_global_arguments)


@dataclass(frozen=True)
class Operation:
    """One registered operation of a host."""

    capability: str
    name: str
    commands: Callable[[], Iterator[Any]]
    """pyinfra's generator, run afresh at each call; the only way its commands are had."""
    meta: Any
    """pyinfra's OperationMeta: what later operations ask whether this one changed something."""
    arguments: dict[str, Any]


@dataclass(frozen=True)
class Declared:
    """A host with its operations in order."""

    job: Job
    state: Any
    target: Any
    operations: tuple[Operation, ...]
    deploys: Mapping[str, Path]
    """The file of each capability's deploy."""
    others: dict[str, Mapping[str, str]] = field(default_factory=dict)
    """What the hosts of the run have told, by host and topic; it grows when an apply has them make what was missing."""

    def hear(self, values: Told) -> bool:
        """Know this of the others from now on; whether it is news."""
        news = self.others != values
        self.others.clear()
        self.others.update(values)
        return news

    @property
    def host(self) -> str:
        """Its name in the inventory."""
        return self.job.host

    @property
    def connector(self) -> Known:
        """What the host's facts are answered from."""
        connector: Known = self.target.connector
        return connector

    @contextmanager
    def context(self) -> Iterator[None]:
        """pyinfra's process-wide context, set for this host and put back whatever happens."""
        managers = (ctx_state, ctx_inventory, ctx_config, ctx_host)
        values = (self.state, self.state.inventory, self.state.config, self.target)
        before = [manager.get() for manager in managers]
        try:
            for manager, value in zip(managers, values, strict=True):
                manager.set(value)
            with telling(self.others):
                yield
        finally:
            for manager, old in zip(managers, before, strict=True):
                manager.set(old)


def declare(job: Job, find_deploy: Callable[[str], Path], connector: type[Any] = Known) -> Declared:
    """Register all operations of a job. FindingsError names a deploy that cannot be called."""
    inventory = Inventory(([job.host], {}))
    target = inventory.hosts[job.host]
    target.connector_cls = connector
    # Asked for every argument of every operation and fact: five of its six sources are always empty here.
    target.data = HostData(target, target.get_deploy_data)
    # One State for each host: pyinfra knows an operation by its place in the order alone.
    state = State(inventory, Config(), check_for_changes=False)
    target.connected = True
    deploys = {part.capability: find_deploy(part.capability) for part in job.parts}
    declared = Declared(job, state, target, (), deploys)
    operations: list[Operation] = []
    with declared.context():
        for part in job.parts:
            deploy = _deploy(deploys[part.capability], part.capability)
            start = len(target.op_hash_order)
            _call(job.host, part.capability, deploy, part.spec, part.files)
            operations += [
                _operation(state, target, part.capability, key) for key in target.op_hash_order[start:]
            ]
    return replace(declared, operations=tuple(operations))


def _call(host: str, capability: str, deploy: Callable[..., Any], spec: Any, files: Any) -> None:
    try:
        deploy(spec, files)
    except FindingsError:
        raise
    except (UnansweredError, NotSettledError) as error:
        what = f"deploys/{capability}.py asks about the host while it is read"
        hint = "leave the choice to an operation, or to its `_if`: no host has been reached yet"
        raise FindingsError(Finding(f"{host} · {capability}", what, hint)) from error
    except Exception as error:  # a deploy of the project's own may raise anything
        what = f"deploys/{capability}.py cannot be called: {type(error).__name__}: {error}"
        raise FindingsError(Finding(f"{host} · {capability}", what, "see `--debug` for where")) from error


def _operation(state: Any, target: Any, capability: str, key: str) -> Operation:
    data = state.get_op_data_for_host(target, key)
    name = next(iter(state.op_meta[key].names)).removeprefix(f"{capability} | ")
    _tell_when_asked(data.operation_meta, name)
    return Operation(capability, name, data.command_generator, data.operation_meta, data.global_arguments)


def _tell_when_asked(meta: Any, name: str) -> None:
    """Have `did_change` note who asked, so that a plan can say what hangs on what."""
    asked = meta.did_change

    def did_change() -> bool:
        changed = bool(asked())
        if changed:
            hangs_on(name)
        return changed

    meta.did_change = did_change


_modules: dict[Path, ModuleType] = {}


def _deploy(path: Path, capability: str) -> Callable[..., Any]:
    """The function named like the capability in its file; each file is run once."""
    if path not in _modules:
        spec = importlib.util.spec_from_file_location(f"stackctl_deploys_{capability}", path)
        if spec is None or spec.loader is None:
            raise FindingsError(Finding(str(path), "is not a Python file", "deploys are `.py` files"))
        module = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except Exception as error:  # any file of the project's own
            what = f"cannot be loaded: {type(error).__name__}: {error}"
            raise FindingsError(Finding(str(path), what, "see `--debug` for where")) from error
        _modules[path] = module
    function = getattr(_modules[path], capability, None)
    if not callable(function):
        raise FindingsError(
            Finding(
                str(path),
                f"has no function `{capability}`",
                f"write `@deploy` `def {capability}(spec, files)`",
            )
        )
    return cast("Callable[..., Any]", function)
