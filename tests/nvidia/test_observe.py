"""What is read of a host, one fact a trap."""

from pathlib import Path

import pytest

from stackctl.nvidia.observation import Build, Kernel, Observation, Smi
from tests.nvidia.fakes import NEW_BANNER, OLD_BANNER, SAYS, FakeHost, observe

UUID = "GPU-0a1b2c3d-1111-2222-3333-444455556666"


@pytest.fixture
def host(tmp_path: Path) -> FakeHost:
    return FakeHost(tmp_path)


def test_a_host_without_anything_shows_nothing(host: FakeHost) -> None:
    assert observe(host) == Observation()


def test_a_card_its_audio_and_their_drivers_are_told_apart(host: FakeHost) -> None:
    host.device("0000:41:00.0")
    host.device("0000:41:00.1", device="22ba", kind="0403", driver=None)

    seen = observe(host)

    assert [(d.address, d.id, d.kind, d.driver) for d in seen.devices] == [
        ("0000:41:00.0", "10de:2684", "0300", "nvidia"),
        ("0000:41:00.1", "10de:22ba", "0403", None),
    ]
    assert [d.address for d in seen.gpus] == ["0000:41:00.0"]


@pytest.mark.parametrize("flavour", ["open", "proprietary"])
def test_the_loaded_module_tells_its_flavour(host: FakeHost, flavour: str) -> None:
    host.loaded("580.95.05", "open" if flavour == "open" else "proprietary")

    assert (observe(host).loaded, observe(host).flavour) == ("580.95.05", flavour)


@pytest.mark.parametrize("file", ["nvidia.ko", "nvidia-current.ko.xz", "nvidia-current-open.ko.zst"])
def test_a_module_is_found_under_each_of_its_names(host: FakeHost, file: str) -> None:
    host.kernel("6.1.0-1-amd64", running=True)
    host.module("6.1.0-1-amd64", "535.309.01", f"updates/dkms/{file}", signer="DKMS module signing key")
    host.module("6.1.0-1-amd64", "1", "updates/dkms/nvidia-uvm.ko")

    assert observe(host).running == Kernel(
        "6.1.0-1-amd64", True, True, "535.309.01", "DKMS module signing key"
    )


def test_a_kernel_without_headers_or_module_says_so(host: FakeHost) -> None:
    host.kernel("6.1.0-2-amd64", headers=False)

    assert observe(host).kernels == (Kernel("6.1.0-2-amd64", False, False, None),)


@pytest.mark.parametrize(("inside", "early"), [(True, True), (False, False)])
def test_nouveau_is_looked_for_in_the_initramfs(host: FakeHost, inside: bool, early: bool) -> None:
    host.device("0000:41:00.0", driver="nouveau")
    host.kernel("6.1.0-1-amd64", nouveau=inside)

    assert observe(host).kernels[0].nouveau_in_initramfs is early


@pytest.mark.parametrize(
    ("line", "build"),
    [
        (
            "nvidia/580.95.05, 6.8.0-90-generic, x86_64: installed",
            Build("nvidia", "580.95.05", "6.8.0-90-generic", "installed"),
        ),
        (
            "nvidia, 535.1, 6.8.0-90-generic, x86_64: built",
            Build("nvidia", "535.1", "6.8.0-90-generic", "built"),
        ),
        ("nvidia-current/535.309.01: added", Build("nvidia-current", "535.309.01", None, "added")),
        (
            "nvidia/1.2, 6.1, x86_64: installed (WARNING! Diff between built and installed module!)",
            Build("nvidia", "1.2", "6.1", "installed"),
        ),
    ],
)
def test_dkms_is_read_in_each_of_its_formats(host: FakeHost, line: str, build: Build) -> None:
    host.says("dkms", f"{line}\nzfs/2.3, 6.1, x86_64: installed")

    assert observe(host).builds == (build,)


@pytest.mark.parametrize(
    ("said", "on"),
    [
        ("SecureBoot enabled", True),
        ("SecureBoot disabled", False),
        ("EFI variables are not supported on this system", None),
    ],
)
def test_secure_boot_is_as_mokutil_says(host: FakeHost, said: str, on: bool | None) -> None:
    host.secure_boot(said)

    assert observe(host).secure_boot is on


def test_secure_boot_is_read_of_the_firmware_where_mokutil_is_missing(host: FakeHost) -> None:
    host.write("sys/firmware/efi/efivars/SecureBoot-8be4df61", "\x06\x00\x00\x00\x01")

    assert observe(host).secure_boot is True


@pytest.mark.parametrize("enrolled", [True, False, None])
def test_the_key_is_enrolled_or_not_or_there_is_none(host: FakeHost, enrolled: bool | None) -> None:
    host.secure_boot(enrolled=enrolled)

    assert observe(host).key_enrolled is enrolled


@pytest.mark.parametrize("folder", ["usr/lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu/nvidia/current"])
def test_the_library_tells_its_version(host: FakeHost, folder: str) -> None:
    host.library("580.95.05", folder)

    assert observe(host).library == "580.95.05"


def test_held_packages_are_those_that_have_to_do_with_the_driver(host: FakeHost) -> None:
    host.packages({"nvidia-open": "580.95.05-1"}, held=("nvidia-open", "vim"))

    assert (observe(host).packages, observe(host).held) == (
        {"nvidia-open": "580.95.05-1"},
        frozenset({"nvidia-open"}),
    )


def test_who_has_a_gpu_open_is_named(host: FakeHost) -> None:
    host.device("0000:41:00.0")
    host.holder(4242, "python3")
    host.holder(4243, "vim", "/home/a/notes")

    assert observe(host).holders == {"4242": "python3"}


@pytest.mark.parametrize("status", [6, 9, 12, 15, 18, 255])
def test_nvidia_smi_fails_with_its_status_and_words(host: FakeHost, status: int) -> None:
    host.smi(status)

    assert observe(host).smi == Smi(status, message=SAYS[status])


def test_an_nvidia_smi_that_hangs_is_given_up(host: FakeHost) -> None:
    host.smi()
    host.hang()

    assert observe(host).smi.status == 124


@pytest.mark.parametrize("banner", [OLD_BANNER, NEW_BANNER])
def test_gpus_are_read_under_either_banner_and_what_is_unsupported_is_none(
    host: FakeHost, banner: str
) -> None:
    host.smi(banner=banner)
    host.smi_gpu(
        UUID,
        "0000:41:00.0",
        persistence_mode="Enabled",
        power_limit="450.00",
        ecc_mode_current="[Not Supported]",
        ecc_mode_pending="[Unknown Error]",
    )

    (gpu,) = observe(host).smi.gpus

    assert (gpu.uuid, gpu.pci, gpu.persistence, gpu.power_limit) == (UUID, "0000:41:00.0", True, 450.0)
    assert (gpu.clocks, gpu.ecc, gpu.ecc_pending, gpu.mig, gpu.fabric_state) == (None, None, None, None, None)


def test_an_nvidia_smi_that_lacks_a_field_is_asked_for_fewer(host: FakeHost) -> None:
    host.smi(fields=["uuid", "pci.bus_id", "name", "persistence_mode", "power.limit"])
    host.smi_gpu(UUID, "0000:41:00.0", power_limit="300.00")

    assert [(gpu.uuid, gpu.power_limit) for gpu in observe(host).smi.gpus] == [(UUID, 300.0)]


def test_mig_instances_and_the_fabric_belong_to_their_gpu(host: FakeHost) -> None:
    host.smi()
    host.smi_gpu(
        UUID,
        "0000:41:00.0",
        mig=(("3g.40gb", "MIG-b"), ("1g.10gb", "MIG-a")),
        fabric="Completed",
        mig_mode_current="Enabled",
    )

    (gpu,) = observe(host).smi.gpus

    assert (gpu.mig, gpu.mig_profiles, gpu.mig_uuids) == (True, ("1g.10gb", "3g.40gb"), ("MIG-b", "MIG-a"))
    assert (gpu.fabric_state, gpu.fabric_status) == ("Completed", "Success")


SPEC = """cdiVersion: 0.5.0
kind: nvidia.com/gpu
devices:
- name: "0"
  containerEdits: {deviceNodes: [{path: /dev/nvidia0}]}
containerEdits:
  mounts:
  - containerPath: /usr/lib/libcuda.so.570.1.2
    hostPath: /usr/lib/libcuda.so.570.1.2
"""


def test_a_stale_specification_names_the_file_that_is_gone(host: FakeHost) -> None:
    host.cdi("etc/cdi/nvidia.yaml", SPEC)

    cdi = observe(host).cdi

    assert (cdi.specs, cdi.devices) == ({"/etc/cdi/nvidia.yaml": "570.1.2"}, ("nvidia.com/gpu=0",))
    assert cdi.missing == {"/etc/cdi/nvidia.yaml": ("/usr/lib/libcuda.so.570.1.2",)}


def test_units_are_told_with_their_state(host: FakeHost) -> None:
    host.units({"docker.service": "active", "nvidia-persistenced.service": "failed"})

    assert observe(host).units == {"docker.service": "active", "nvidia-persistenced.service": "failed"}


def test_a_runfile_installation_leaves_its_trace(host: FakeHost) -> None:
    host.write("usr/bin/nvidia-uninstall")
    host.write("var/log/nvidia-installer.log", "  NVIDIA-Linux-x86_64-570.124.06.run\n")

    assert observe(host).traces == ("a runfile installation of 570.124.06 (/usr/bin/nvidia-uninstall)",)


@pytest.mark.parametrize(
    ("said", "on"), [('["/etc/cdi","/var/run/cdi"]', True), ("[]", False), ("null", False)]
)
def test_docker_tells_whether_cdi_is_on(host: FakeHost, said: str, on: bool) -> None:
    host.says("docker", said)

    assert observe(host).cdi.docker is on


def test_switches_are_seen_in_each_generation(host: FakeHost) -> None:
    host.write("proc/driver/nvidia-nvswitch/devices/0000:05:00.0")
    assert (observe(host).switches, observe(host).nvlink5) == (True, False)

    host.write("sys/class/infiniband/mlx5_0/device/vpd", "\x01 SW_MNG \x02")
    assert observe(host).nvlink5


def test_errors_of_gpus_are_read_of_the_kernels_journal(host: FakeHost) -> None:
    host.device("0000:41:00.0")
    host.says(
        "journalctl", "2026-01-02T03:04:05+0000 a kernel: NVRM: Xid (PCI:0000:41:00): 79, fallen off the bus"
    )

    assert len(observe(host).xids) == 1
