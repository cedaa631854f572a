"""The program beside a gateway that makes histograms of its log: where it is, what it reads, how it is reached."""

from collections.abc import Sequence
from importlib.resources import files

from stackctl.core.artifact import FileTemplate

PACKAGE = "python3"
UNIT = "stackctl-gateway-metrics.service"
UNIT_FILE = f"/etc/systemd/system/{UNIT}"
PROGRAM_FILE = "/usr/lib/stackctl/gateway_metrics.py"
CONFIG_FILE = "/etc/stackctl/gateway_metrics.json"
FILES = (PROGRAM_FILE, CONFIG_FILE, UNIT_FILE)
ADDRESS = "127.84.4.1"
"""An address of loopback that nothing else uses, so that the port of the metrics is free there, for UDP as for TCP."""


def templates(port: int, models: Sequence[str], keys: Sequence[str] = ()) -> tuple[FileTemplate, ...]:
    """The program, what it may count for, and its unit."""
    program = files("stackctl.agents").joinpath("gateway_metrics.py").read_text("utf-8")
    config = {"address": ADDRESS, "port": port, "models": models, "keys": keys}
    unit = {"program": PROGRAM_FILE, "config": CONFIG_FILE}
    return (
        FileTemplate(PROGRAM_FILE, "gateway/metrics.py.j2", {"program": program}, mode=0o755),
        FileTemplate(CONFIG_FILE, "gateway/metrics.json.j2", {"config": config}),
        FileTemplate(UNIT_FILE, "gateway/metrics.service.j2", unit),
    )
