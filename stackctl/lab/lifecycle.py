"""Bringing a lab up and taking it down; every step can be repeated, whatever an earlier run left."""

import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from functools import partial
from pathlib import Path

from stackctl.core.finding import FailureError, Finding, FindingsError
from stackctl.lab import cache, cgroup, host, internet, kernel, keys, kind, network, registry
from stackctl.lab.background import begin
from stackctl.lab.checks import check
from stackctl.lab.images.build import offer, root_layer, weights_of
from stackctl.lab.images.recipe import Recipe, recipes
from stackctl.lab.mirror import Mirror, read_mirror
from stackctl.lab.registry import Registry
from stackctl.lab.spec import CACHE, STATE, LabHost, LabSpec
from stackctl.lab.status import remains

# a killed holder's child holds the lock until it has become the tool it is to run
_LOCK_PATIENCE = 2.0

Progress = Callable[[str], None]


def up(spec: LabSpec, progress: Progress) -> None:
    """Bring the lab up, or whatever of it is not."""
    check(spec)
    with only_one(spec.name):
        kind.remember(spec)
        mirror = read_mirror()
        cache.sweep()
        progress("network")
        network.raise_network(spec)
        keys.make_keys(spec)
        progress("packages, names and image registry")
        internet.start(spec)
        registry.start(spec)
        _build_and_boot(spec, mirror, progress)


def _build_and_boot(spec: LabSpec, mirror: Mirror, progress: Progress) -> None:
    """Build and offer the images while the hosts boot; each thing waits only for what it stands on."""
    wanted = recipes(spec.images)
    roots = {
        recipe.root.key: begin(partial(root_layer, recipe.root, mirror, progress))
        for recipe in _by_root(wanted)
    }
    bases = {suite: begin(partial(host.base_of, spec, suite, mirror)) for suite in _suites(spec)}
    images = [
        begin(partial(_offer, spec, recipe, roots[recipe.root.key], mirror, progress)) for recipe in wanted
    ]
    hosts = [
        begin(partial(_raise_host, spec, each, bases[each.suite], mirror, progress)) for each in spec.hosts
    ]
    _collect([*images, *hosts])
    for recipe in wanted:
        _place_weights(spec, recipe, mirror, progress)


def down(lab: str) -> bool:
    """Remove the lab: its processes, mounts, namespaces and files; False where there was none."""
    spec = LabSpec.of(lab, {})
    with only_one(lab):
        found = bool(remains(lab))
        kernel.kill_all(lab)
        kernel.unmount_below(spec.state)
        network.remove_namespaces(lab)
        cgroup.remove(lab)
        cache.remove_tree(spec.state)
        with contextlib.suppress(
            OSError
        ):  # another lab's state is in it, or it is a mount of the machine's own
            STATE.rmdir()
    return found


def prune() -> None:
    """Remove everything that labs keep between runs; refused while a lab is up, as its hosts stand on it."""
    if up_now := kernel.labs():
        hint = f"run `stackctl lab down {up_now[0]}` first"
        raise FailureError(Finding("lab", f"{', '.join(up_now)} still uses the cache", hint))
    cache.remove_tree(CACHE)


def _collect(done: list[Future[None]]) -> None:
    """Raise the findings of all that failed, each once: two hosts that wait for one base fail alike."""
    errors = []
    for future in done:
        try:
            future.result()
        except FindingsError as error:
            errors.append(error)
    if errors:
        raise FailureError(*dict.fromkeys(finding for error in errors for finding in error.findings))


def _raise_host(spec: LabSpec, each: LabHost, root: Future[Path], mirror: Mirror, progress: Progress) -> None:
    host.prepare(spec, each, root.result(), mirror)
    host.boot(spec, each)
    host.wait_until_up(spec, each)
    progress(f"{each.name} answers at {each.address}")


def _offer(spec: LabSpec, recipe: Recipe, root: Future[Path], mirror: Mirror, progress: Progress) -> None:
    root.result()
    offer(recipe, Registry(spec), mirror, progress)


def _place_weights(spec: LabSpec, recipe: Recipe, mirror: Mirror, progress: Progress) -> None:
    weights = weights_of(recipe, mirror, progress)
    if weights:
        for each in spec.hosts:
            host.place_weights(spec, each, weights, weights.name)


def _by_root(wanted: list[Recipe]) -> list[Recipe]:
    """One recipe for each root: a root that several share is built once, and fails once."""
    return list({recipe.root.key: recipe for recipe in wanted}.values())


def _suites(spec: LabSpec) -> list[str]:
    return sorted({each.suite for each in spec.hosts})


@contextlib.contextmanager
def only_one(lab: str) -> Iterator[None]:
    """Keep any other up or down of the lab out; the lock leaves nothing behind and dies with its holder."""
    deadline = time.monotonic() + _LOCK_PATIENCE
    with socket.socket(socket.AF_UNIX) as lock:
        while not _is_taken(lock, f"\0stackctl-lab-{lab}"):
            if time.monotonic() > deadline:
                what = "another `up` or `down` of it is at work"
                raise FailureError(Finding(f"lab {lab}", what, "wait for it to end"))
            time.sleep(0.05)
        yield


def _is_taken(lock: socket.socket, name: str) -> bool:
    try:
        lock.bind(name)
    except OSError:
        return False
    return True
