"""NVIDIA's repository and the distributions' same-named packages, in small."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from stackctl.core.artifact import FileTemplate
from stackctl.nvidia.preferences import UNATTENDED, pins
from stackctl.project import Project
from stackctl.render import artifact
from tests.apt.flat import Key, Package, write
from tests.apt.root import Root

HERE = Project(Path(__file__).parents[2])


def driver(version: str) -> list[Package]:
    """What NVIDIA has for Debian of one version, as far as it matters."""
    full = f"{version}-1"
    return [
        Package(
            "nvidia-driver",
            full,
            f"nvidia-driver-cuda (= {full}), nvidia-kernel-open-dkms (= {full}) | nvidia-kernel-dkms (= {full})",
        ),
        Package(
            "nvidia-driver-cuda",
            full,
            f"libcuda1 (= {full}), nvidia-persistenced (= {full})",
            "nvidia-driver",
        ),
        Package("libcuda1", full, "", "nvidia-driver"),
        Package("nvidia-persistenced", full),
        Package("nvidia-kernel-open-dkms", full, "", "nvidia-kernel-open", conflicts="nvidia-kernel-dkms"),
        Package("nvidia-kernel-dkms", full, "", "nvidia-kernel"),
        Package("nvidia-fabricmanager", full, "", "fabricmanager"),
        Package("libnvidia-nscq", full),
        Package(
            "nvidia-open",
            full,
            f"nvidia-driver (>= {full}), nvidia-kernel-open-dkms (>= {full})",
            "cuda-drivers",
        ),
        Package("cuda-drivers", full, f"nvidia-driver (>= {full})"),
    ]


NVIDIA = [
    *driver("580.126.09"),
    *driver("580.178.04"),
    *driver("590.48.01"),
    Package("cuda-drivers-580", "580.178.04-1", "nvidia-driver (>= 580.65.06)", "cuda-drivers"),
    Package("nvlsm", "2025.10.11-1"),
    Package("infiniband-diags", "1.0-1"),
    Package("cuda", "13.3.0-1", "cuda-drivers (>= 590)"),
    Package("cuda-toolkit-12-8", "12.8.1-1"),
]

DEBIAN = [
    Package("nvidia-driver", "1:600.1-1", "", "nvidia-graphics-drivers"),
    Package("libcuda1", "1:600.1-1", "", "nvidia-graphics-drivers"),
    Package("nvidia-smi", "1:600.1-1", "", "nvidia-graphics-drivers"),
    Package("libnvidia-ml1", "1:600.1-1", "", "nvidia-graphics-drivers"),
    Package("nvidia-kernel-dkms", "1:600.1-1", "", "nvidia-graphics-drivers"),
    Package("nvidia-persistenced", "1:600.1-1"),
    Package("nvidia-support", "20240109+1"),
]

UBUNTU = [
    Package("libnvidia-compute-580", "580.200.01-0ubuntu0.24.04.1", "", "nvidia-graphics-drivers-580"),
    Package("nvidia-dkms-580-open", "580.200.01-0ubuntu0.24.04.1", "", "nvidia-graphics-drivers-580"),
    Package("nvidia-utils-580", "580.200.01-0ubuntu0.24.04.1", "", "nvidia-graphics-drivers-580"),
    Package("nvidia-compute-utils-580", "580.200.01-0ubuntu0.24.04.1", "", "nvidia-graphics-drivers-580"),
    Package(
        "nvidia-headless-no-dkms-580-server-open",
        "580.126.09-0ubuntu0.24.04.1",
        "",
        "nvidia-graphics-drivers-580-server",
    ),
    Package(
        "nvidia-utils-580-server", "580.126.09-0ubuntu0.24.04.1", "", "nvidia-graphics-drivers-580-server"
    ),
    Package(
        "linux-modules-nvidia-580-server-open-generic",
        "6.8.0-90.91",
        "linux-objects-nvidia-580-server-open-6.8.0-90-generic",
        "linux-restricted-modules",
    ),
    Package(
        "linux-objects-nvidia-580-server-open-6.8.0-90-generic", "6.8.0-90.91", "", "linux-restricted-modules"
    ),
]

NVIDIA_UBUNTU = [
    Package(name, f"580.178.04-{revision}", "", "nvidia-graphics-drivers-580")
    for name in (
        "libnvidia-compute-580",
        "nvidia-dkms-580-open",
        "nvidia-utils-580",
        "nvidia-compute-utils-580",
    )
    for revision in ("0ubuntu1",)
] + [
    Package("libnvidia-compute", "595.91.07-1ubuntu1"),
    Package("nvidia-dkms-open", "595.91.07-1ubuntu1"),
    Package("libnvidia-compute", "610.57.04-1ubuntu1"),
    Package("nvidia-dkms-open", "610.57.04-1ubuntu1"),
]


def offer(root: Root, key: Key, folder: Path, origin: str, label: str, packages: list[Package]) -> None:
    """Have apt know a repository of these."""
    write(folder, key, packages, origin=origin, label=label)
    public = folder / "key.gpg"
    key.write(public, armored=False)
    root.source(folder.name, f"deb [signed-by={public}] file:{folder} /")


def preferences(source: str, pin: str | None) -> str:
    """The file as it reaches a host."""
    assert source in {"nvidia", "distribution"}
    found = pins("nvidia" if source == "nvidia" else "distribution", pin)
    return _rendered("gpu/preferences.j2", {"pins": found})


def unattended() -> str:
    """The file as it reaches a host."""
    return _rendered("gpu/unattended.j2", {"patterns": UNATTENDED})


def _rendered(template: str, values: dict[str, object]) -> str:
    environment = Environment(
        loader=FileSystemLoader(HERE.template_folders),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701 - as the real one: these are no web pages
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return artifact(FileTemplate("/x", template, values), environment).content
