"""Where a project is, and where its deploys and templates are found."""

from dataclasses import dataclass
from pathlib import Path

from stackctl.core.finding import Finding, FindingsError
from stackctl.core.secret import FILE

_PACKAGE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Project:
    """A directory with an `inventory/`; its own deploys and templates win over the stock ones."""

    root: Path

    @property
    def template_folders(self) -> tuple[Path, ...]:
        """Where templates are looked for, in order."""
        return (self.root / "templates", stock("templates"))

    @property
    def known_hosts(self) -> Path:
        """Host keys that are trusted for this project."""
        return self.root / "inventory" / "known_hosts"

    @property
    def secrets(self) -> Path:
        """The encrypted file of the secrets that `age:` references name."""
        return self.root / "inventory" / FILE

    def deploy(self, capability: str) -> Path:
        """The file of a capability's deploy; FindingsError where there is none."""
        for folder in (self.root / "deploys", stock("deploys")):
            path = folder / f"{capability}.py"
            if path.is_file():
                return path
        what = f"there is no deploy `{capability}`"
        raise FindingsError(Finding(f"deploys/{capability}.py", what, "write it, or install stackctl again"))

    def own_deploys(self) -> dict[str, str]:
        """The project's own deploys: text by path below its root."""
        files = sorted((self.root / "deploys").glob("*.py"))
        return {f"deploys/{file.name}": file.read_text("utf-8", errors="replace") for file in files}


def stock(kind: str) -> Path:
    """The deploys or templates that come with stackctl: inside the wheel, or at the root of a checkout."""
    packaged = _PACKAGE / "stock" / kind
    return packaged if packaged.is_dir() else _PACKAGE.parent / kind


def find(start: Path) -> Project:
    """The nearest directory upward from `start` that holds `inventory/`."""
    for folder in (start, *start.parents):
        if (folder / "inventory").is_dir():
            return Project(folder)
    what = "neither this directory nor one above it holds `inventory/`"
    raise FindingsError(Finding(str(start), what, "go to your project, or name it with `--project`"))


def at(folder: Path) -> Project:
    """The project that the operator named."""
    if not (folder / "inventory").is_dir():
        what = "holds no `inventory/`, so it is not a project"
        raise FindingsError(Finding(str(folder), what, "name the directory that holds `inventory/`"))
    return Project(folder.resolve())


def of(folder: Path | None) -> Project:
    """The project named by `--project`, or else the nearest one upward from here."""
    return find(Path.cwd()) if folder is None else at(folder)
