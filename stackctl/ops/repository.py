"""A vendor's package repository: trusted only once its key has proved to be the one that was expected."""

import hashlib
import shlex
from collections.abc import Generator, Mapping, Sequence

from pyinfra.api import operation
from pyinfra.context import host

from stackctl.core.artifact import Artifact
from stackctl.ops.apt import LOCK_SECONDS, patiently
from stackctl.ops.filestate import Files, Found
from stackctl.ops.step import Step, WriteFiles
from stackctl.ops.trace import saw
from stackctl.plan.compare import compare

SECONDS = 300


@operation()
def repository(
    stem: str,
    url: str,
    key_url: str,
    fingerprint: str,
    suite: str = "/",
    components: Sequence[str] = (),
    root: str = "",
) -> Generator[Step | WriteFiles, None, None]:
    """Have a repository among apt's sources, and its key trusted for it alone.

    The host fetches the key, as apt does and through the same proxy. Unless it holds one primary key, that of
    the fingerprint, nothing is changed. `suite` is a folder that ends in a slash, or a name, which `components`
    go with; `root` is where the host's files begin. `stem` names the files that apt has of it. Needs `gpg` on the host.
    """
    keyring = f"{root}/usr/share/keyrings/{stem}.gpg"
    verified, read = (f"{root}/var/lib/stackctl/repositories/{stem}.{note}" for note in ("key", "read"))
    sources = _sources(f"{root}/etc/apt/sources.list.d/{stem}.sources", url, suite, components, keyring)
    sha256 = hashlib.sha256(sources.content.encode()).hexdigest()
    found = host.get_fact(
        Files, wanted=[(keyring, "-"), (verified, "0"), (read, "0"), (sources.path, sha256)]
    )
    trusted = _trusted(found, keyring, verified, fingerprint)
    saw(f"repository {stem}", **({"key": fingerprint} if trusted else {}))
    change = compare(sources, sha256, found.get(sources.path))
    if not trusted:
        yield Step(
            _key_script(key_url, fingerprint, keyring, verified),
            reason=f"trust key {fingerprint} for {url}, once it has proved to be that",
            action="change" if keyring in found else "add",
            seconds=SECONDS,
        )
    if change is not None:
        yield WriteFiles([sources], [change])
    if not trusted or change is not None or _content(found, read) != f"{sha256}\n":
        yield Step(
            _read_script(sources.path, read, sha256),
            reason=f"read what {url} has",
            seconds=SECONDS + LOCK_SECONDS,
        )


def _sources(path: str, url: str, suite: str, components: Sequence[str], keyring: str) -> Artifact:
    lines = (
        "# Owned by stackctl: edits show as drift and are undone by the next apply.",
        "Types: deb",
        f"URIs: {url}/",
        f"Suites: {suite}",
        *([f"Components: {' '.join(components)}"] if components else []),
        f"Signed-By: {keyring}",
    )
    return Artifact(path, "\n".join(lines) + "\n")


def _trusted(found: Mapping[str, Found], keyring: str, verified: str, fingerprint: str) -> bool:
    """Whether the keyring is still what was verified against this fingerprint; gpg is not needed to say so."""
    key = found.get(keyring)
    return key is not None and _content(found, verified) == f"{fingerprint} {key.sha256}\n"


def _content(found: Mapping[str, Found], path: str) -> str | None:
    return found[path].content if path in found else None


def _key_script(key_url: str, fingerprint: str, keyring: str, verified: str) -> str:
    """Shell that fetches, judges and installs the key; what is judged is what is installed."""
    return (
        _KEY.replace("@URL@", shlex.quote(key_url))
        .replace("@FINGERPRINT@", shlex.quote(fingerprint))
        .replace("@KEYRING@", shlex.quote(keyring))
        .replace("@VERIFIED@", shlex.quote(verified))
    )


def _read_script(sources: str, read: str, sha256: str) -> str:
    """Shell that reads this repository's list alone, so that another's failure is not taken for its own."""
    script = _READ.replace("@SOURCES@", shlex.quote(sources)).replace("@READ@", shlex.quote(read))
    return patiently(script.replace("@SHA256@", sha256), LOCK_SECONDS)


# The first line is what is told; 70 says that it needs no interpretation.
_KEY = """set -u
umask 022
url=@URL@ wanted=@FINGERPRINT@ keyring=@KEYRING@ verified=@VERIFIED@
tmp=$(mktemp -d) || exit 1
trap 'rm -rf -- "$tmp" "$keyring.new" "$verified.new"' EXIT
trap 'exit 143' HUP INT TERM
tell() { printf '%s\\n' "$1" >&2; [ ! -s "$tmp/log" ] || cat "$tmp/log" >&2; exit 70; }
command -v gpg >/dev/null || tell 'there is no gpg, without which no key can be judged: install the package gpg'
/usr/lib/apt/apt-helper download-file "$url" "$tmp/key" >"$tmp/log" 2>&1 ||
  tell "the key at $url cannot be fetched: check the address, and the host's way and apt's proxy to it"
mkdir -m 700 "$tmp/gnupg" || exit 1
GNUPGHOME=$tmp/gnupg
export GNUPGHOME
case $(head -c 10 "$tmp/key" | tr -d '\\0') in
  -----BEGIN) gpg --batch --quiet --dearmor <"$tmp/key" >"$tmp/ring" 2>"$tmp/log" ||
    tell "what is at $url is no key: check the address" ;;
  *) cp -- "$tmp/key" "$tmp/ring" || exit 1 ;;
esac
gpg --batch --quiet --show-keys --with-colons "$tmp/ring" >"$tmp/shown" 2>"$tmp/log" ||
  tell "what is at $url is no key: check the address"
: >"$tmp/log"
found=$(awk -F: '$1 == "pub" || $1 == "sec" { p = $1 ":" $2 } $1 == "fpr" && p { print p ":" $10; p = "" }' "$tmp/shown")
case $found in
  pub:[er]:"$wanted") tell "the key $wanted at $url has expired or is revoked: the repository needs another, and its fingerprint in the inventory" ;;
  pub:*:"$wanted") ;;
  *) printf '%s\\n' "$found" | sed -e 's/.*:/it holds /' -e 's/^$/it holds no key/' >"$tmp/log"
    tell "the key at $url is not $wanted alone: nothing was trusted; if the repository has a new key, verify its fingerprint by another way and write that" ;;
esac
mkdir -p -- "${keyring%/*}" "${verified%/*}" &&
  cp -- "$tmp/ring" "$keyring.new" && chmod 644 "$keyring.new" && mv -fT -- "$keyring.new" "$keyring" || exit 1
sum=$(sha256sum <"$keyring") || exit 1
printf '%s %s\\n' "$wanted" "${sum%% *}" >"$verified.new" && mv -fT -- "$verified.new" "$verified" || exit 1
sync -- "$keyring" "$verified"
"""

_READ = """umask 022
patiently apt-get update -q -o APT::Update::Error-Mode=any -o APT::Get::List-Cleanup=0 \\
  -o Dir::Etc::SourceList=@SOURCES@ -o Dir::Etc::SourceParts=- || exit $?
read=@READ@
mkdir -p -- "${read%/*}" && printf '%s\\n' @SHA256@ >"$read.new" && mv -fT -- "$read.new" "$read"
"""
