"""Secrets in an encrypted file: set, read back, and what stands in the way."""

import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest.mock import Mock

import pyrage
import pytest
from pyrage.x25519 import Identity

from stackctl.core.artifact import Artifact
from stackctl.core.finding import FindingsError
from stackctl.core.secret import SecretRef
from stackctl.ops import age, secret

VALUE = "hunter2 $HOME `x` %s {{y}} ü #"


@pytest.fixture(autouse=True)
def key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the operator's identity is, or will be."""
    path = tmp_path / "home/age.key"
    monkeypatch.setenv("STACKCTL_AGE_IDENTITY", str(path))
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The encrypted file, which is not there yet."""
    (tmp_path / "inventory").mkdir()
    return tmp_path / "inventory/secrets.age"


def complaint(act: Callable[[], object]) -> str:
    """`WHERE WHAT | HINT` of the one finding."""
    with pytest.raises(FindingsError) as raised:
        act()
    [found] = raised.value.findings
    chained = repr(raised.value.__cause__) + repr(raised.value.__context__)
    assert "hunter2" not in repr(found) + repr(raised.value) + chained
    return f"{found.where} {found.what} | {found.hint}"


def mode(path: Path) -> str:
    return f"{path.stat().st_mode & 0o777:o}"


def sealed_for(file: Path, *identities: Identity, plain: bytes = b'{"hf": "hunter2"}') -> None:
    """Write the encrypted file as somebody else may have."""
    file.write_bytes(pyrage.encrypt(plain, [each.to_public() for each in identities], armored=True))


def test_a_secret_that_was_set_reaches_a_file_with_its_exact_value(file: Path) -> None:
    age.put(file, "hf", VALUE)
    ref = SecretRef("age", "hf", str(file))
    artifact = Artifact("/etc/speak.env", f"HF_TOKEN='{ref.placeholder}'\n", secrets=(ref,))

    assert secret.reveal(artifact) == f"HF_TOKEN='{VALUE}'\n".encode()
    assert secret.mask(f"said {VALUE}") == "said ***"


def test_the_first_secret_makes_a_key_for_its_owner_alone_and_lists_it(file: Path, key: Path) -> None:
    made: list[Path] = []
    age.put(file, "hf", VALUE, made.append)
    age.put(file, "other", "x", made.append)

    listed = file.with_name("secrets.recipients")
    assert made == [key, listed]
    assert [mode(path) for path in (key.parent, key, file, listed)] == ["700", "600", "644", "644"]
    assert file.read_text().startswith("-----BEGIN AGE ENCRYPTED FILE-----\n")
    assert "hf" not in file.read_text().split("\n", 1)[0]
    assert listed.read_text().splitlines()[-1] == str(Identity.from_str(lines(key)[-1]).to_public())


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


def test_a_key_that_is_there_is_used_and_never_replaced(file: Path, key: Path) -> None:
    key.parent.mkdir()
    own = Identity.generate()
    key.write_text(f"# created: 2026-01-01T00:00:00Z\n# public key: {own.to_public()}\n{own}\n")
    key.chmod(0o600)
    before = key.read_text()

    age.put(file, "hf", VALUE)

    assert key.read_text() == before
    assert json.loads(pyrage.decrypt(file.read_bytes(), [own])) == {"hf": VALUE}


def test_a_first_key_joins_those_that_were_listed_before(file: Path, key: Path) -> None:
    listed = file.with_name("secrets.recipients")
    colleague = Identity.generate()
    listed.write_text(f"# a colleague\n{colleague.to_public()}")

    made: list[Path] = []
    age.put(file, "hf", VALUE, made.append)

    assert made == [key, listed]
    own = Identity.from_str(lines(key)[-1])
    assert listed.read_text() == f"# a colleague\n{colleague.to_public()}\n{own.to_public()}\n"
    assert pyrage.decrypt(file.read_bytes(), [own]) == pyrage.decrypt(file.read_bytes(), [colleague])


def test_secrets_that_are_set_at_the_same_time_are_all_there(file: Path) -> None:
    names = [f"s{number}" for number in range(16)]

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: age.put(file, name, name), names))

    assert age.read(file).values == {name: name for name in names}


def test_an_identity_may_come_through_a_pipe(file: Path, key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    age.put(file, "hf", "x")
    reading, writing = os.pipe()
    os.write(writing, key.read_bytes())
    os.close(writing)
    monkeypatch.setenv("STACKCTL_AGE_IDENTITY", f"/dev/fd/{reading}")

    assert age.read(file).values == {"hf": "x"}
    os.close(reading)


def test_one_secret_is_set_and_the_others_stay(file: Path) -> None:
    age.put(file, "a", "1")
    age.put(file, "b", "2")
    age.put(file, "a", "3")

    assert age.read(file).values == {"a": "3", "b": "2"}


def test_everyone_who_is_listed_can_read_what_is_set_next(file: Path) -> None:
    age.put(file, "hf", VALUE)
    colleague = Identity.generate()
    with file.with_name("secrets.recipients").open("a") as listed:
        listed.write(f"# a colleague\n\n{colleague.to_public()}\n")
    age.put(file, "other", "x")

    assert json.loads(pyrage.decrypt(file.read_bytes(), [colleague]))["hf"] == VALUE


def test_a_file_is_decrypted_once_however_many_secrets_are_taken_from_it(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    age.put(file, "a", "1")
    age.put(file, "b", "2")
    decrypt = Mock(wraps=pyrage.decrypt)
    monkeypatch.setattr(pyrage, "decrypt", decrypt)

    assert [secret.value(SecretRef("age", name, str(file))) for name in "ab"] == ["1", "2"]
    assert decrypt.call_count == 1


@pytest.mark.parametrize("value", ["a'b", 'a"b', "a\\b", "a\nb", "a\rb"])
def test_what_no_file_could_hold_is_refused_before_anything_is_made(
    file: Path, key: Path, value: str
) -> None:
    assert complaint(lambda: age.put(file, "hf", value)) == (
        "age:hf cannot be set: it holds a quote, a backslash or a line break | use a value without"
    )
    assert not file.exists()
    assert not key.exists()


def test_a_secret_without_a_value_is_refused(file: Path) -> None:
    assert complaint(lambda: age.put(file, "hf", "")) == "age:hf cannot be set: it is empty | give it a value"


def test_without_the_file_the_way_to_make_it_is_shown(file: Path) -> None:
    assert complaint(lambda: secret.value(SecretRef("age", "hf", str(file)))) == (
        f"secret age:hf cannot be read: {file} is not there"
        " | make it with `stackctl secrets set NAME`, or restore it from git"
    )


def test_without_an_identity_both_ways_to_name_one_are_shown(
    file: Path, key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sealed_for(file, Identity.generate())
    ref = SecretRef("age", "hf", str(file))
    named = complaint(lambda: age.read(file))
    monkeypatch.delenv("STACKCTL_AGE_IDENTITY")
    monkeypatch.setenv("HOME", str(tmp_path))
    default = tmp_path / ".config/stackctl/age.key"

    assert named == (
        f"{key} is not there, and `STACKCTL_AGE_IDENTITY` names it"
        " | restore your key there, or unset the variable to use ~/.config/stackctl/age.key"
    )
    assert complaint(lambda: secret.value(ref)) == (
        f"secret age:hf cannot be read: {default} is not there, and `STACKCTL_AGE_IDENTITY` names no other"
        " identity | restore your key there, or name its file with `STACKCTL_AGE_IDENTITY`; without one, run"
        f" `age-keygen -o {default}` and let a reader of the secrets add its public key"
    )
    assert not default.parent.exists()


def test_an_identity_that_is_no_recipient_is_told_how_to_become_one(
    file: Path, key: Path, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    age.put(tmp_path / "other/secrets.age", "x", "x")
    own = Identity.from_str(lines(key)[-1]).to_public()
    stranger = Identity.generate()
    sealed_for(file, stranger)
    file.with_name("secrets.recipients").write_text(f"{stranger.to_public()}\n")

    told = complaint(lambda: age.read(file))

    assert told == (
        f"{file} cannot be decrypted with {key}: no matching keys found"
        f" | let someone whom secrets.recipients lists add `{own}` to it and set a secret"
    )
    assert complaint(lambda: age.put(file, "hf", "x")) == told
    assert complaint(lambda: age.rotate(file)) == told


def test_an_earlier_key_is_thought_of_where_the_present_one_does_not_fit(file: Path, key: Path) -> None:
    age.put(file, "hf", "x")
    content = file.read_bytes()
    age.rotate(file)
    file.write_bytes(content)

    assert f"; an earlier key of yours is in {key}.1, for `STACKCTL_AGE_IDENTITY`" in complaint(
        lambda: age.read(file)
    )


def test_a_damaged_file_is_told_from_a_wrong_key(file: Path, key: Path) -> None:
    age.put(file, "hf", VALUE)
    file.write_bytes(file.read_bytes()[:-80])

    assert complaint(lambda: age.read(file)).startswith(f"{file} cannot be decrypted with {key}: ")
    assert "restore it from git" in complaint(lambda: age.read(file))


@pytest.mark.parametrize(
    "plain",
    [b"hunter2", b'["hunter2"]', b'{"hf": {"a": "hunter2"}}', b'{"H F": "hunter2"}', b"\xff", b"[" * 99999],
)
def test_something_else_in_the_file_is_not_repeated(file: Path, key: Path, plain: bytes) -> None:
    age.put(file, "hf", "x")
    sealed_for(file, Identity.from_str(lines(key)[-1]), plain=plain)

    assert complaint(lambda: age.read(file)).startswith(
        f"{file} holds something else than secrets by name | "
    )


def test_a_name_that_is_not_in_the_file_is_told_with_the_nearest(file: Path) -> None:
    age.put(file, "hf-token", "x")

    assert complaint(lambda: secret.value(SecretRef("age", "hf-tokn", str(file)))) == (
        f"secret age:hf-tokn cannot be read: {file} holds no secret `hf-tokn`"
        " | did you mean `hf-token`?; or run `stackctl secrets set hf-tokn`"
    )


def test_an_identity_that_others_can_read_is_refused(file: Path, key: Path) -> None:
    age.put(file, "hf", "x")
    key.chmod(0o640)

    assert complaint(lambda: age.read(file)) == (
        f"{key} is open to others than its owner, mode 640 | run `chmod 600 {key}`"
    )


@pytest.mark.parametrize(
    ("text", "told"), [("", "age.key holds no key"), ("# a\nhunter2\n", "age.key:2 is not an age identity")]
)
def test_an_identity_file_without_a_key_is_told_without_repeating_it(
    file: Path, key: Path, text: str, told: str
) -> None:
    age.put(file, "hf", "x")
    key.write_text(text)

    assert complaint(lambda: age.read(file)).startswith(f"{key.parent}/{told} | ")


def test_any_of_several_keys_opens_the_file(file: Path, key: Path) -> None:
    age.put(file, "hf", "x")
    key.write_text(f"{Identity.generate()}\n{key.read_text()}")

    assert age.read(file).values == {"hf": "x"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, " is not there | restore it from git: it lists whom the secrets are encrypted to"),
        ("# nobody\n", " lists no key | restore it from git, or write the public keys"),
        ("hunter2\n", ":1 is not an age public key | write one of the form `age1...`"),
        (str(Identity.generate()), ":1 is a private key | write its public key instead, and run"),
        (str(Identity.generate().to_public()), " does not list a key of yours | add `age1"),
    ],
    ids=["missing", "empty", "no key", "a private key", "another's"],
)
def test_recipients_that_would_lock_someone_out_are_refused(file: Path, text: str | None, told: str) -> None:
    age.put(file, "hf", "x")
    before = file.read_bytes()
    listed = file.with_name("secrets.recipients")
    if text is None:
        listed.unlink()
    else:
        listed.write_text(text)

    said = complaint(lambda: age.put(file, "hf", "y"))

    assert said.startswith(f"{listed}{told}")
    assert "AGE-SECRET" not in said
    assert file.read_bytes() == before


def test_a_folder_that_cannot_be_written_to_is_told(file: Path) -> None:
    age.put(file, "hf", "x")
    file.with_name(".secrets.age.new").mkdir()

    assert complaint(lambda: age.put(file, "hf", "y")).startswith(
        f"{file} cannot be written: is a directory | "
    )
    assert age.read(file).values == {"hf": "x"}


def test_a_full_disk_costs_nothing_and_leaves_no_copy_of_a_key(
    file: Path, key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    age.put(file, "hf", "x")
    before = {path: path.read_bytes() for path in (*file.parent.iterdir(), *key.parent.iterdir())}
    monkeypatch.setattr(os, "fsync", Mock(side_effect=OSError(28, "No space left on device")))

    told = "cannot be written: no space left on device | check the path, its mode and the room there"
    assert complaint(lambda: age.put(file, "hf", "y")) == f"{file} {told}"
    assert complaint(lambda: age.rotate(file)) == f"{key}.1 {told}"
    assert {path: path.read_bytes() for path in (*file.parent.iterdir(), *key.parent.iterdir())} == before


def test_what_was_decrypted_stays_out_of_a_representation(file: Path) -> None:
    age.put(file, "hf", "hunter2")

    assert "hunter2" not in repr(age.read(file))


def test_a_key_or_a_certificate_of_several_lines_can_be_kept(file: Path) -> None:
    pem = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49\n-----END PRIVATE KEY-----"

    age.put(file, "gateway-tls", pem)

    assert age.read(file).values == {"gateway-tls": pem}
