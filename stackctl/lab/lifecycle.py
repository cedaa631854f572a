"""Bringing a lab up and taking it down; every step can be repeated, whatever an earlier run left."""

import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from stackctl.core.finding import Finding, FindingsError
from stackctl.lab import base, cache, cgroup, host, internet, kernel, keys, network, registry
from stackctl.lab.mirror import Mirror, read_mirror
from stackctl.lab.spec import STATE, LabHost, LabSpec

Progress = Callable[[str], None]


def up(spec: LabSpec, progress: Progress) -> None:
    """Bring the lab up, or whatever of it is not."""
    with only_one(spec.name):
        mirror = read_mirror()
        progress("network")
        network.raise_network(spec)
        keys.make_keys(spec)
        progress("packages, names and image registry")
        internet.start(spec)
        registry.start(spec)
        with ThreadPoolExecutor(4) as pool:
            bases = dict(pool.map(lambda suite: (suite, base.base_of(suite, mirror)), _suites(spec)))
            for _ in pool.map(lambda each: _raise_host(spec, each, bases, mirror, progress), spec.hosts):
                pass


def down(lab: str) -> None:
    """Remove the lab: its processes, mounts, namespaces and files."""
    spec = LabSpec(lab, ())
    with only_one(lab):
        kernel.kill_all(lab)
        kernel.unmount_below(spec.state)
        network.remove_namespaces(lab)
        cgroup.remove(lab)
        cache.remove_tree(spec.state)
        if STATE.is_dir() and not any(STATE.iterdir()):
            STATE.rmdir()


def _raise_host(
    spec: LabSpec, each: LabHost, bases: dict[str, Path], mirror: Mirror, progress: Progress
) -> None:
    host.prepare(spec, each, bases[each.suite], mirror)
    host.boot(spec, each)
    host.wait_until_up(spec, each)
    progress(f"{each.name} answers at {each.address}")


def _suites(spec: LabSpec) -> list[str]:
    return sorted({each.suite for each in spec.hosts})


@contextmanager
def only_one(lab: str) -> Iterator[None]:
    """Keep any other up or down of the lab out; the lock leaves nothing behind and dies with its holder."""
    with socket.socket(socket.AF_UNIX) as lock:
        try:
            lock.bind(f"\0stackctl-lab-{lab}")
        except OSError as error:
            what = "another `up` or `down` of it is at work"
            raise FindingsError(Finding(f"lab {lab}", what, "wait for it to end")) from error
        yield
