"""From the files of a project to a fleet, with every problem found at once."""

import errno
import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path

from pydantic import ValidationError

from stackctl.core.finding import Finding, FindingsError
from stackctl.core.secret import FILE
from stackctl.schema import checks
from stackctl.schema.fleet import Fleet
from stackctl.schema.outline import Outline
from stackctl.schema.problem import Problem
from stackctl.schema.profiles import with_profiles
from stackctl.schema.prune import without
from stackctl.schema.references import references
from stackctl.schema.source import Written, dotted, read
from stackctl.schema.wording import finding, follows, located, similar

CATALOGUE = "models.yaml"
LOCK = "images.lock"
WEIGHTS_LOCK = "weights.lock"
_SECTIONS = {"models": CATALOGUE, "digests": LOCK, "snapshots": WEIGHTS_LOCK}
"""Parts of a fleet that have a file of their own, which all environments share."""
Check = Callable[[Fleet], Iterable[Problem]]

_LARGEST = 16 * 1024 * 1024


def environments(project: Path) -> tuple[str, ...]:
    """Names of the project's environments: the YAML files of `inventory/`, the catalogue apart."""
    try:
        names = [file.name for file in (project / "inventory").iterdir()]
    except OSError as error:
        what = f"cannot be read: {_reason(error)}"
        raise FindingsError(Finding("inventory", what, "check what it is and its mode")) from error
    # Editors leave files behind whose names start with a dot.
    wanted = (name for name in names if name.endswith(".yaml") and not name.startswith("."))
    return tuple(sorted(name.removesuffix(".yaml") for name in wanted if name != CATALOGUE))


def load(project: Path, environment: str, more: Iterable[Check] = ()) -> Fleet:
    """Read one environment with the catalogue; FindingsError carries all that is wrong with them.

    `more` are checks that only higher layers can make; warnings are left out, `load_with_warnings` has them.
    """
    return load_with_warnings(project, environment, more)[0]


def load_with_warnings(
    project: Path, environment: str, more: Iterable[Check] = ()
) -> tuple[Fleet, tuple[Finding, ...]]:
    """Like `load`, with the findings that do not stand in the way."""
    tree, findings = _written(project, environment)
    tree, unknown = with_profiles(tree)
    findings += unknown
    fleet, wrong, cause = _validated(tree, project)
    findings += wrong
    if fleet is not None:
        judges = (checks.check, _secrets_file, *more)
        problems = [problem for judge in judges for problem in judge(fleet)]
        if cause is not None:  # what is said of a whole section may be due to the entries left out of it
            problems = [problem for problem in problems if len(problem.key) > 1]
        findings += [_placed(problem, tree) for problem in problems]
    unique = in_order(findings)
    if fleet is None or cause is not None or any(item.severity == "error" for item in unique):
        raise FindingsError(*unique) from cause
    return fleet, unique


def in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Each finding once, by file and line."""
    return tuple(sorted(set(findings), key=_order))


def _written(project: Path, environment: str) -> tuple[Written, list[Finding]]:
    """All files as one tree, shaped like a Fleet."""
    known = environments(project)
    if environment not in known:
        where = f"inventory/{environment}.yaml"
        what = f"there is no environment `{environment}`"
        name = Path(environment).name.removesuffix(".yaml")
        raise FindingsError(Finding(where, what, similar(name, known, "write inventory/NAME.yaml")))
    findings: list[Finding] = []
    names = (f"{environment}.yaml", CATALOGUE, LOCK, WEIGHTS_LOCK)
    trees = [_read(project, name, findings) for name in names]
    if trees[0] is None or trees[1] is None:
        raise FindingsError(*findings)
    root, catalogue = trees[0].entries, trees[1].entries
    findings += [_misplaced(root[name]) for name in _SECTIONS if name in root]
    findings += [_not_a_catalogue(item) for name, item in catalogue.items() if name != "models"]
    named = root.get("environment")
    if named is not None and named.value != environment:
        what = "`environment` is not the name of the file"
        findings.append(Finding(named.where, what, f"write `environment: {environment}`, or rename the file"))
    entries = {name: item for name, item in root.items() if name not in _SECTIONS}
    entries |= {name: item for name, item in catalogue.items() if name == "models"}
    locks = {"digests": trees[2], "snapshots": trees[3]}
    entries |= {name: tree for name, tree in locks.items() if tree is not None}
    return Written(entries, f"inventory/{environment}.yaml", 1, ()), findings


def _read(project: Path, name: str, findings: list[Finding]) -> Written | None:
    file = f"inventory/{name}"
    try:
        data = _content(project / file)
        if len(data) > _LARGEST:
            findings.append(
                Finding(file, f"is larger than {_LARGEST >> 20} MiB", "split it into environments")
            )
            return None
        tree, wrong = read(data.decode("utf-8-sig"), file)
    except FileNotFoundError:
        if name not in (LOCK, WEIGHTS_LOCK):
            empty = "write it; `models: {}` is an empty catalogue"
            hint = empty if name == CATALOGUE else "check where the link leads"
            findings.append(Finding(file, "there is no such file", hint))
    except OSError as error:
        findings.append(Finding(file, f"cannot be read: {_reason(error)}", "check what it is and its mode"))
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        findings.append(Finding(f"{file}:{line}", "is not UTF-8 text", "save the file as UTF-8"))
    except FindingsError as error:
        findings.extend(error.findings)
    else:
        findings.extend(wrong)
        return tree
    return None


def _content(path: Path) -> bytes:
    """What a file holds, little more than is allowed at most; a pipe or a device might never end."""
    if path.exists() and not path.is_file() and not path.is_dir():
        raise OSError(errno.EINVAL, "it is no file")
    with path.open("rb") as file:
        return file.read(_LARGEST + 1)


def _reason(error: OSError) -> str:
    return (error.strerror or "unknown error").lower()


def _misplaced(item: Written) -> Finding:
    home = _SECTIONS[str(item.key[0])]
    return Finding(
        item.where,
        f"{dotted(item.key)} is not part of an environment",
        f"move it to inventory/{home}, which all environments share",
    )


def _not_a_catalogue(item: Written) -> Finding:
    what = f"{dotted(item.key)} is not a setting of the catalogue"
    return Finding(item.where, what, similar(str(item.key[-1]), ["models"]))


def _validated(tree: Written, project: Path) -> tuple[Fleet | None, list[Finding], ValidationError | None]:
    """The fleet, or in spite of errors a fleet of what is right, for the checks; and the errors."""
    try:
        return _fleet(tree, project), [], None
    except ValidationError as error:
        errors = error.errors(include_url=False, include_input=False)
        findings = [finding(item, tree, _outline()) for item in errors if not follows(item, errors)]
        try:
            right = without(tree, [located(item["loc"], tree)[0] for item in errors])
            return _fleet(right, project), findings, error
        except ValidationError:
            return None, findings, error


@cache
def _outline() -> Outline:
    return Outline(Fleet.model_json_schema())


def _fleet(tree: Written, project: Path) -> Fleet:
    # JSON is where pydantic's strict mode still takes text for an address and a list for a tuple.
    secrets = str(project / "inventory" / FILE)
    return Fleet.model_validate_json(json.dumps(tree.plain), context={"secrets": secrets})


def _secrets_file(fleet: Fleet) -> Iterable[Problem]:
    """Whether the encrypted file is there; its names are encrypted as well, and stay unread here."""
    for key, ref in references(fleet):
        if ref.beside is not None and not Path(ref.beside).exists():
            what = f"{dotted(key)} is `{ref.written}`, but there is no inventory/{FILE}"
            yield Problem(key, what, f"run `stackctl secrets set {ref.target}`", severity="warning")


def _order(item: Finding) -> tuple[str, int, Finding]:
    file, _, line = item.where.rpartition(":")
    return (file, int(line), item) if file and line.isdecimal() else (item.where, 0, item)


def _placed(problem: Problem, tree: Written) -> Finding:
    written = tree.nearest(problem.key)
    what = problem.what
    if written.key != problem.key and len(written.key) == len(problem.key):
        what = what.replace(dotted(problem.key), dotted(written.key))
    return replace(Finding(written.where, what, problem.hint), severity=problem.severity)
