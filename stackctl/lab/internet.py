"""The services of the lab's internet that are ours, one process: package proxy and name server.

Run as `python -m stackctl.lab.internet --stackctl-lab=NAME`. It listens inside the lab's internet and asks
the mirrors from this machine's own network.
"""

import argparse
import os
import socketserver
import sys
import threading
import time
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import stackctl
from stackctl import namespace
from stackctl.core.finding import FailureError, Finding
from stackctl.lab import kernel
from stackctl.lab.mirror import read_mirror
from stackctl.lab.names import NameServer
from stackctl.lab.packages import PackageProxy, Store, Upstream
from stackctl.lab.shell import spawn
from stackctl.lab.spec import (
    CACHE,
    NAMES_ADDRESS,
    PACKAGES_ADDRESS,
    PACKAGES_PORT,
    REGISTRY_ADDRESS,
    REGISTRY_NAME,
    LabSpec,
)

_PATIENCE = 20.0


class _Proxy(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that went away."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def start(spec: LabSpec) -> None:
    """Start the services of the lab's internet, where they do not run, and wait until they do."""
    if not kernel.runs(spec.name, kernel.marker(spec.name)):
        spawn(
            [sys.executable, "-m", "stackctl.lab.internet", kernel.marker(spec.name)],
            log=spec.state / "internet.log",
            env={"PYTHONPATH": str(Path(stackctl.__file__).parents[1])},
        )
    await_port(spec, str(PACKAGES_ADDRESS), PACKAGES_PORT, spec.state / "internet.log")


def await_port(spec: LabSpec, address: str, port: int, log: Path) -> None:
    """Return once something listens there in the lab's internet; a FindingsError shows the log otherwise."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            namespace.connect(spec.namespace("internet"), address, port, timeout=2).close()
        except OSError as error:
            if time.monotonic() > deadline:
                words = tuple(log.read_text(errors="replace").splitlines()[-15:]) if log.exists() else ()
                what = f"nothing answers at {address}:{port}: {error.strerror}"
                raise FailureError(Finding(f"lab {spec.name}", what, f"read {log}", words)) from error
            time.sleep(0.1)
        else:
            return


def serve(lab: str) -> None:
    """Serve until killed."""
    mirror = read_mirror()

    class Proxy(PackageProxy):
        store = Store(CACHE / "packages")
        upstream = Upstream(dict(mirror.schemes), mirror.proxy)

    class Names(NameServer):
        names = {REGISTRY_NAME: REGISTRY_ADDRESS}  # noqa: RUF012

    internet = LabSpec(lab, ()).namespace("internet")
    proxy = namespace.within(internet, lambda: _Proxy((str(PACKAGES_ADDRESS), PACKAGES_PORT), Proxy))
    names = namespace.within(internet, lambda: socketserver.UDPServer((str(NAMES_ADDRESS), 53), Names))
    threading.Thread(target=names.serve_forever, daemon=True).start()
    proxy.serve_forever()


if __name__ == "__main__":
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--stackctl-lab", required=True)
    os.umask(0o022)
    serve(arguments.parse_args().stackctl_lab)
