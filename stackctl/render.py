"""Specifications and templates become exact bytes, host by host."""

from collections.abc import Iterable
from functools import cache

from jinja2 import Environment, FileSystemLoader, StrictUndefined, TemplateError, TemplateNotFound

from stackctl.capabilities import ORDER, name_of, resolve_host, standing
from stackctl.connections import connection
from stackctl.core.artifact import Artifact, FileTemplate
from stackctl.core.compose import service_yaml
from stackctl.core.finding import Finding, FindingsError
from stackctl.core.job import Job, Part
from stackctl.project import Project
from stackctl.schema.fleet import Fleet


def jobs(fleet: Fleet, project: Project, hosts: Iterable[str] | None = None) -> tuple[Job, ...]:
    """All hosts of the fleet, or some, as the engine takes them; in name order."""
    chosen = fleet.hosts if hosts is None else hosts
    return tuple(job(fleet, project, host) for host in sorted(chosen))


def job(fleet: Fleet, project: Project, host: str) -> Job:
    """One host: the way to it, and its capabilities with their files."""
    environment = _environment(project)
    by_name = {name_of(capability): capability for capability in ORDER}
    parts = tuple(
        Part(name, spec, tuple(artifact(item, environment) for item in by_name[name].templates(spec)))
        for name, spec in resolve_host(fleet, host).parts
    )
    return Job(host, connection(fleet, project, host), parts, standing(fleet, host))


def artifact(template: FileTemplate, environment: Environment) -> Artifact:
    """A file's exact content; a template that cannot be rendered is a finding about the template."""
    where = f"templates/{template.template}"
    try:
        content = environment.get_template(template.template).render(**template.values)
    except TemplateNotFound as error:
        raise FindingsError(
            Finding(where, f"there is no template `{error.name}`", "write it, or install stackctl again")
        ) from error
    except TemplateError as error:
        line = getattr(error, "lineno", None)
        place = where if line is None else f"{where}:{line}"
        hint = f"mend the template; it renders {template.path}"
        raise FindingsError(Finding(place, f"cannot be rendered: {error}", hint)) from error
    return Artifact(template.path, content, template.owner, template.group, template.mode, template.secrets)


@cache
def _environment(project: Project) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(project.template_folders),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701 - these are configuration files; HTML escapes would break them
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["service_yaml"] = service_yaml
    return environment
