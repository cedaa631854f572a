"""Hosts with a driver and GPUs, and what is found against them."""

from pathlib import Path

from stackctl.core.finding import FindingsError
from stackctl.schema.compatibility import problems
from stackctl.schema.load import load_with_warnings
from tests.inventory import project

V100, T4, A100, RTX_4090, H100, B200, RTX_5090 = "1db6", "1eb8", "20b2", "2684", "2330", "2901", "2b85"


def found(
    folder: Path, gpus: str, driver: str, system: str = "debian-13", model: str = "", lock: str = ""
) -> list[str]:
    """Findings on a host whose driver is in line 4 and whose GPUs are in line 5; line 6 places `speak` on GPU `a`."""
    text = (
        f"hosts:\n  h: {{address: 10.0.0.1, os: {system}, roles: [gateway, models],\n"
        f"    driver: {{{driver}}},\n    gpus: {{{gpus}}}}}\n"
        "placements: {speak: [{host: h, devices: [a]}]}\n"
    )
    catalogue = f'models:\n  speak: {{server: custom, image: "tts:1", port: 8880, api: [speech]{model and ", "}{model}}}\n'
    root = project(folder, text, catalogue, f'"tts:1": {lock}\n' if lock else None).root
    try:
        findings = load_with_warnings(root, "test", (problems,))[1]
    except FindingsError as error:
        findings = error.findings
    return [
        f"{item.where.removeprefix('inventory/test.yaml:')} {item.severity} {item.what} | {item.hint}"
        for item in findings
    ]


def gpu(device: str, name: str = "a", more: str = "") -> str:
    number = ord(name)
    uuid = f"GPU-00000000-0000-4000-8000-0000000000{number:02x}"
    return f'{name}: {{uuid: {uuid}, pci: "0000:{number:02x}:00.0", id: "10de:{device}"{more}}}'
