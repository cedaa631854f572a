"""Driver versions, and their order."""

Version = tuple[int, ...]


def parsed(text: str) -> Version:
    """`580.178.04` as numbers that compare; ValueError where it is no version."""
    return tuple(int(part) for part in text.split("."))


def branch_of(version: str) -> int:
    """The branch of a version: 580 of `580.178.04`."""
    return parsed(version)[0]


def below(version: Version, wanted: Version) -> bool:
    """Whether a version is certainly older; of a branch alone, only what no version of it reaches counts."""
    return version < wanted[:1] if len(version) == 1 else version < wanted


def shown(version: Version) -> str:
    """A version as people write it: the second and third number of a driver's have two digits at least."""
    return ".".join([str(version[0]), *(f"{part:02}" for part in version[1:])])


def upstream(package_version: str) -> str:
    """The driver's own version in that of a Debian package: `550.163.01` of `1:550.163.01-2~bpo13+1`."""
    return package_version.rpartition(":")[2].partition("-")[0].partition("+")[0]
