"""NVIDIA's driver, and the GPUs as declared."""

from collections.abc import Sequence

from pyinfra.api.deploy import deploy

from stackctl.capabilities.gpu import GpuSpec, parted
from stackctl.core.artifact import Artifact
from stackctl.ops import apt, driver, fabric, files, hold, leftovers, modules, repository, tuning


@deploy("gpu")
def gpu(spec: GpuSpec, artifacts: Sequence[Artifact]) -> None:
    """What keeps apt from working goes first; which source and version win is settled before a driver is asked for."""
    own = parted(artifacts)
    driver.fits(name="check that the host's GPUs are those declared", spec=spec)
    leftovers.leftovers(
        name="check that no other driver is in the way",
        spec_source=spec.source,
        remove=spec.leftovers == "remove",
        ours=spec.ours,
    )
    apt.packages(name="install what judges keys", names=spec.tools)
    files.write(name="keep the driver to one source and version", artifacts=own.apt)
    for source in spec.sources:
        repository.repository(
            name=f"trust {source.name}",
            stem=source.name,
            url=source.url,
            key_url=source.key,
            fingerprint=source.fingerprint,
        )
    nouveau = files.write(name="keep nouveau away", artifacts=own.nouveau)
    headers = driver.headers(name="install the kernels' headers", spec=spec)
    packages = driver.installed(name="install the driver", spec=spec)
    hold.held(name="hold the driver at its version", names=spec.holdable, hold=spec.hold)
    modules.initramfs(name="keep nouveau out of the initramfs", after=[nouveau])
    built = modules.built(name="build the modules", spec=spec, after=[headers, packages])
    modules.loaded(name="load the driver", spec=spec, after=[packages, built])
    daemon = files.write(name="let the driver stay loaded", artifacts=own.persistenced)
    modules.persistent(name="keep the driver loaded", spec=spec, after=[daemon])
    unit = files.write(name="write the GPUs' settings", artifacts=own.tuning)
    tuning.tuned(name="set the GPUs", spec=spec, after=[unit])
    tuning.counting(name="reboot for settings that count from a boot on", spec=spec)
    fabric.managed(name="manage the NVSwitches", spec=spec)
    apt.packages(name="install CUDA", names=spec.cuda)
