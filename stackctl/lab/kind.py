"""What kind of hosts a lab has: kept with the lab, since hosts of one kind cannot go on as the other."""

from stackctl.core.finding import FailureError, Finding
from stackctl.lab import keys
from stackctl.lab.spec import Kind, LabSpec


def remembered(lab: str) -> Kind | None:
    """The kind of hosts that the lab has; None where there is no lab."""
    spec = LabSpec(lab, ())
    try:
        return "vm" if spec.kind_file.read_text().strip() == "vm" else "container"
    except (FileNotFoundError, PermissionError):
        return None


def remember(spec: LabSpec) -> None:
    """Keep the kind of a lab that comes up; refused where its hosts are of the other kind."""
    before = remembered(spec.name)
    if before is None:
        spec.state.mkdir(parents=True, exist_ok=True)
        spec.state.chmod(0o700)
        keys.write(spec.kind_file, f"{spec.kind}\n")
    elif before != spec.kind:
        names = {"container": "containers", "vm": "virtual machines"}
        what = f"its hosts are {names[before]}, and cannot become {names[spec.kind]}"
        raise FailureError(Finding(f"lab {spec.name}", what, f"run `stackctl lab down {spec.name}` first"))
