"""Profiles are laid under the hosts that name them, places and all."""

from dataclasses import replace

from stackctl.core.finding import Finding
from stackctl.schema.source import Written, dotted
from stackctl.schema.wording import similar


def with_profiles(tree: Written) -> tuple[Written, list[Finding]]:
    """The tree with every host complete, and findings about profiles that are not there or not used."""
    hosts = tree.get("hosts")
    written = tree.get("profiles")
    profiles = {} if written is None else written.entries
    findings: list[Finding] = []
    used: set[str] = set()
    merged: dict[str, Written] = {}
    for name, host in ({} if hosts is None else hosts.entries).items():
        profile = host.get("profile")
        wanted = profile.value if profile is not None else None
        merged[name] = host
        if profile is None or not isinstance(wanted, str):
            continue
        used.add(wanted)
        if wanted in profiles:
            merged[name] = _laid_under(host, profiles[wanted])
        else:
            what = f"{dotted(profile.key)} names `{wanted}`, which is not one of `profiles`"
            findings.append(
                Finding(profile.where, what, similar(wanted, profiles, "define it under `profiles`"))
            )
    for name in sorted(set(profiles) - used):
        what = f"{dotted(profiles[name].key)} is not used by any host"
        findings.append(
            Finding(profiles[name].where, what, "take it out, or name it with `profile`", severity="warning")
        )
    if hosts is None or not isinstance(tree.value, dict) or not isinstance(hosts.value, dict):
        return tree, findings
    return replace(tree, value={**tree.value, "hosts": replace(hosts, value=merged)}), findings


def _laid_under(host: Written, profile: Written) -> Written:
    own = host.entries
    if not isinstance(host.value, dict):
        return host
    entries = dict(own)
    for name, shared in profile.entries.items():
        if name not in own:
            entries[name] = shared
        elif isinstance(own[name].value, dict) and isinstance(shared.value, dict):
            entries[name] = replace(own[name], value={**shared.value, **own[name].entries})
    return replace(host, value=entries)
