"""A host's key and certificate in a mesh by nebula; the authority signs with the real `nebula-cert`."""

import json
import re
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from stackctl.core.secret import SecretRef
from stackctl.engine.run import Run
from stackctl.mesh.certificate import certificates, public_key
from stackctl.mesh.nebula import CERTIFICATE_FILE, NebulaSpec
from stackctl.ops import authority, secret
from tests.engine.fleet import one_host
from tests.engine.local import LocalSession
from tests.ops.programs import program
from tests.ops.seen import seen

DAY = 86_400
BODY = """
from stackctl.ops import nebula
nebula.keyed(name="key", spec=spec, root={root!r})
nebula.certified(name="certificate", spec=spec, root={root!r})
nebula.forgotten(name="earlier keys", spec=spec, root={root!r})
"""


@pytest.fixture
def spec(tmp_path: Path) -> NebulaSpec:
    """What the host is to be; the authority is made afresh."""
    return wanted(made(tmp_path / "ours"))


def made(folder: Path, days: int = 365) -> Path:
    """An authority, in a folder of its own."""
    folder.mkdir()
    words = ["nebula-cert", "ca", "-name", folder.name, "-duration", f"{days * 24}h"]
    subprocess.run([*words, "-out-crt", folder / "ca.crt", "-out-key", folder / "ca.key"], check=True)
    return folder


def wanted(ours: Path) -> NebulaSpec:
    return NebulaSpec(
        host="gpu1",
        address="10.77.0.12/24",
        groups=("models", "trusted"),
        subnets=("172.30.1.0/24",),
        authority=(ours / "ca.crt").read_text(),
        signing_key=SecretRef("file", str(ours / "ca.key")),
        days=30,
        revoked=(),
        key=1,
        device="nebula1",
        port=51820,
        mtu=1408,
        hub=False,
        nat=False,
        advertised=(),
        hubs=(),
        routes=(),
    )


def run_of(tmp_path: Path, spec: NebulaSpec, programs: Path | None = None) -> Run:
    body = BODY.format(root=str(tmp_path / "root"))
    return one_host(tmp_path / "d", body, spec=spec, session=lambda _: LocalSession(programs))


def planned(run: Run) -> dict[str, str]:
    """Reason by operation."""
    [host] = run.plan().hosts
    assert host.findings == ()
    return {change.operation: change.reason for change in host.changes}


def applied(tmp_path: Path, spec: NebulaSpec) -> None:
    """Have the host as it is to be."""
    run = run_of(tmp_path, spec)
    outcome = run.apply(run.plan()).hosts[0]
    assert (outcome.findings, outcome.left) == ((), ())


def file_of(tmp_path: Path, path: str) -> Path:
    return tmp_path / "root" / path.lstrip("/")


def test_a_fresh_host_gets_a_key_and_a_certificate_for_it(tmp_path: Path, spec: NebulaSpec) -> None:
    assert planned(run_of(tmp_path, spec)) == {
        "key": "make key 1, which stays on the host",
        "certificate": "sign it for 10.77.0.12/24, groups models, trusted, for 30 days",
    }

    applied(tmp_path, spec)

    assert planned(run_of(tmp_path, spec)) == {}
    [found] = certificates(file_of(tmp_path, CERTIFICATE_FILE).read_text())
    assert (found.name, str(found.addresses[0]), found.groups) == ("gpu1", "10.77.0.12/24", spec.groups)
    assert found.issuer == spec.signer.fingerprint
    assert found.ends - found.begins == 30 * DAY
    assert f"{file_of(tmp_path, spec.key_file).stat().st_mode & 0o777:o}" == "600"


def test_the_certificate_is_seen_and_the_private_key_is_not(tmp_path: Path, spec: NebulaSpec) -> None:
    applied(tmp_path, spec)

    found = seen(run_of(tmp_path, spec))

    assert found["certificate of the mesh"]["address"] == "10.77.0.12/24"
    assert found["certificate of the mesh"]["groups"] == "models, trusted"
    private = file_of(tmp_path, spec.key_file).read_text().splitlines()[1]
    assert list(found["key 1 of the mesh"]) == ["public"]
    assert private not in json.dumps(found)


def test_nothing_is_signed_for_a_plan(
    tmp_path: Path, spec: NebulaSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secret, "value", lambda ref: pytest.fail(f"{ref.written} was asked for"))

    assert "certificate" in planned(run_of(tmp_path, spec))


def _other_name(spec: NebulaSpec) -> NebulaSpec:
    return replace(spec, host="gpu2")


def _other_address(spec: NebulaSpec) -> NebulaSpec:
    return replace(spec, address="10.77.0.13/24")


def _no_groups(spec: NebulaSpec) -> NebulaSpec:
    return replace(spec, groups=())


def _other_network(spec: NebulaSpec) -> NebulaSpec:
    return replace(spec, subnets=("172.30.2.0/24",))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_other_name, "name gpu1 becomes gpu2"),
        (_other_address, "address 10.77.0.12/24 becomes 10.77.0.13/24"),
        (_no_groups, "groups models, trusted becomes no groups"),
        (_other_network, "subnets 172.30.1.0/24 become 172.30.2.0/24"),
    ],
)
def test_a_certificate_follows_the_inventory(
    tmp_path: Path, spec: NebulaSpec, change: Callable[[NebulaSpec], NebulaSpec], reason: str
) -> None:
    applied(tmp_path, spec)
    changed = change(spec)

    assert planned(run_of(tmp_path, changed)) == {"certificate": reason}

    applied(tmp_path, changed)


def test_a_new_key_needs_a_new_certificate_and_the_key_before_goes_last(
    tmp_path: Path, spec: NebulaSpec
) -> None:
    applied(tmp_path, spec)
    second = replace(spec, key=2)

    assert planned(run_of(tmp_path, second)) == {
        "key": "make key 2, which stays on the host",
        "certificate": "it is for another key, key 2 is the host's",
        "earlier keys": "remove host-1.key, no longer in use",
    }

    applied(tmp_path, second)
    folder = file_of(tmp_path, spec.key_file).parent
    assert sorted(path.name for path in folder.iterdir()) == ["host-2.key", "host-2.pub", "host.crt"]


def test_a_certificate_of_anothers_is_replaced(tmp_path: Path, spec: NebulaSpec) -> None:
    applied(tmp_path, spec)
    other = wanted(made(tmp_path / "theirs"))

    assert planned(run_of(tmp_path, other)) == {
        "certificate": "another authority signed it, `theirs` signs it anew"
    }

    applied(tmp_path, other)


def test_what_says_more_than_the_authority_signed_is_replaced(tmp_path: Path, spec: NebulaSpec) -> None:
    applied(tmp_path, spec)
    path = file_of(tmp_path, CERTIFICATE_FILE)
    lines = path.read_text().splitlines()
    lines[-2] = ("A" if lines[-2][0] != "A" else "B") + lines[-2][1:]  # within the signature
    path.write_text("\n".join([*lines, ""]))

    assert planned(run_of(tmp_path, spec)) == {"certificate": "`ours` did not sign what it says"}


@pytest.mark.parametrize(
    "content", ["", "-----BEGIN NEBULA CERTIFICATE-----\nAAAA\n-----END NEBULA CERTIFICATE-----\n"]
)
def test_what_is_no_certificate_is_replaced(tmp_path: Path, spec: NebulaSpec, content: str) -> None:
    applied(tmp_path, spec)
    file_of(tmp_path, CERTIFICATE_FILE).write_text(content)

    assert planned(run_of(tmp_path, spec)) == {"certificate": "sign it anew: what is there is no certificate"}


def later(tmp_path: Path, days: float) -> Path:
    """Programs of a host whose clock is that much ahead."""
    program(tmp_path / "bin", "date", f'exec /bin/date -d "@{int(time.time() + days * DAY)}" "$@"')
    return tmp_path / "bin"


@pytest.mark.parametrize(
    ("days", "reason"),
    [(19.9, None), (20.1, "renew it: it ends on "), (31, "it ended on ")],
)
def test_a_certificate_is_renewed_in_the_last_third_of_its_life(
    tmp_path: Path, spec: NebulaSpec, days: float, reason: str | None
) -> None:
    applied(tmp_path, spec)

    found = planned(run_of(tmp_path, spec, later(tmp_path, days)))

    assert ("certificate" in found) == (reason is not None)
    assert found.get("certificate", "").startswith(reason or "")


def test_a_certificate_that_lasts_longer_than_is_wanted_is_replaced(tmp_path: Path, spec: NebulaSpec) -> None:
    applied(tmp_path, spec)
    shorter = replace(spec, days=7)

    assert planned(run_of(tmp_path, shorter)) == {"certificate": "it lasts 30 days, 7 are wanted"}

    applied(tmp_path, shorter)


def test_while_authorities_change_both_are_trusted_and_the_first_signs(
    tmp_path: Path, spec: NebulaSpec
) -> None:
    new = wanted(made(tmp_path / "new"))
    both = replace(spec, authority=spec.authority + new.authority)
    applied(tmp_path, both)
    turned = replace(new, authority=new.authority + spec.authority)

    assert planned(run_of(tmp_path, turned)) == {
        "certificate": "another authority signed it, `new` signs it anew"
    }

    applied(tmp_path, turned)


def test_a_certificate_lasts_no_longer_than_its_authority(tmp_path: Path) -> None:
    spec = wanted(made(tmp_path / "ours", days=10))
    assert planned(run_of(tmp_path, spec))["certificate"].endswith("for as long as `ours`")

    applied(tmp_path, spec)

    [found] = certificates(file_of(tmp_path, CERTIFICATE_FILE).read_text())
    assert 0 < spec.signer.ends - found.ends < 5
    assert planned(run_of(tmp_path, spec, later(tmp_path, 9))) == {}


def test_a_host_whose_clock_is_behind_gets_no_certificate_that_is_not_valid_there_yet(
    tmp_path: Path, spec: NebulaSpec
) -> None:
    programs = later(tmp_path, -1)
    program(programs, "sleep", "true")
    run = run_of(tmp_path, spec, programs)

    [told] = run.apply(run.plan()).hosts[0].findings

    assert re.match(r"the clock is 864\d\d s behind that of the machine which signs: ", told.what)
    assert not file_of(tmp_path, CERTIFICATE_FILE).exists()


def finding(run: Run) -> tuple[str, str | None]:
    [found] = run.plan().hosts[0].findings
    return found.what, found.hint


def test_an_authority_that_has_ended_is_told_with_the_way_to_another(
    tmp_path: Path, spec: NebulaSpec
) -> None:
    what, hint = finding(run_of(tmp_path, spec, later(tmp_path, 366)))

    assert what.startswith("network.mesh.nebula.authority: the certificate of `ours` ended on ")
    assert hint is not None
    assert "make a new authority" in hint


def test_an_operator_without_the_program_is_told_which_package_has_it(
    tmp_path: Path, spec: NebulaSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sh").symlink_to("/bin/sh")  # in the host's place
    monkeypatch.setenv("PATH", str(tmp_path))

    what, hint = finding(run_of(tmp_path, spec))

    assert what == "`nebula-cert`: is not on this machine, which signs the certificates of the mesh"
    assert hint is not None
    assert "apt install nebula" in hint


def test_a_key_that_others_can_read_is_closed(tmp_path: Path, spec: NebulaSpec) -> None:
    applied(tmp_path, spec)
    file_of(tmp_path, spec.key_file).chmod(0o644)

    assert planned(run_of(tmp_path, spec)) == {"key": "mode 644 of key 1 becomes 600"}

    applied(tmp_path, spec)


def test_a_key_whose_public_half_is_gone_is_made_anew(tmp_path: Path, spec: NebulaSpec) -> None:
    applied(tmp_path, spec)
    file_of(tmp_path, spec.public_file).unlink()

    assert "key" in planned(run_of(tmp_path, spec))

    applied(tmp_path, spec)


def order(tmp_path: Path, spec: NebulaSpec) -> authority.Order:
    subprocess.run(
        ["nebula-cert", "keygen", "-out-key", tmp_path / "h.key", "-out-pub", tmp_path / "h.pub"], check=True
    )
    public = public_key((tmp_path / "h.pub").read_text()) or ""
    return authority.Order("gpu1", "10.77.0.12/24", (), (), 30, public, spec.authority, spec.signing_key)


def test_the_authoritys_key_may_be_one_line(tmp_path: Path, spec: NebulaSpec) -> None:
    text = Path(spec.signing_key.target).read_text().splitlines()
    (tmp_path / "line").write_text("".join(text[1:-1]))
    wanted_ = replace(order(tmp_path, spec), key=SecretRef("file", str(tmp_path / "line")))

    assert certificates(authority.signed(wanted_))[0].name == "gpu1"


def test_the_authoritys_key_is_in_no_argument_and_no_file(
    tmp_path: Path, spec: NebulaSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "".join(Path(spec.signing_key.target).read_text().splitlines()[1:-1])
    program(
        tmp_path / "bin",
        "nebula-cert",
        f"""tr '\\0' '\\n' </proc/$$/cmdline >{tmp_path}/arguments
        env >>{tmp_path}/arguments
        grep -rlF {key[:40]} "$TMPDIR" >{tmp_path}/files
        PATH=/usr/bin:/bin exec nebula-cert "$@\"""",
    )
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    wanted_ = order(tmp_path, spec)

    authority.signed(wanted_)

    assert "-ca-key\n/dev/fd/" in (tmp_path / "arguments").read_text()
    assert key[:40] not in (tmp_path / "arguments").read_text()
    assert (tmp_path / "files").read_text() == ""
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("-----BEGIN NEBULA ED25519 ENCRYPTED PRIVATE KEY-----\nAAAA\n", "is a key behind a passphrase"),
        ("c2VjcmV0", "`nebula-cert` did not sign the certificate of gpu1: it exited 1"),
    ],
)
def test_a_key_that_cannot_sign_is_told_without_a_word_of_it(
    tmp_path: Path, spec: NebulaSpec, text: str, what: str
) -> None:
    (tmp_path / "wrong").write_text(text)
    wrong = replace(order(tmp_path, spec), key=SecretRef("file", str(tmp_path / "wrong")))

    with pytest.raises(Exception, match=what) as error:
        authority.signed(wrong)

    assert "c2VjcmV0" not in str(error.value)
