"""What a change of the gateway reads like to those who use it."""

from pathlib import Path

import pytest

from stackctl.capabilities import gateway
from stackctl.plan.routes import routes
from tests.inventory import HOSTS, fleet

PLACED = f"{HOSTS}placements: {{chat: [{{host: gpu1, devices: [cpu]}}]}}\n"
KEY = "keys: {ci: {secret: 'env:CI_KEY', models: [chat]}}"
TLS = "tls: {certificate: 'file:a', key: 'file:b'}"


def spec(folder: Path, settings: str) -> gateway.GatewaySpec:
    folder.mkdir()
    found = gateway.resolve(fleet(folder, f"{PLACED}gateway: {{{settings}}}\n"), "edge")
    assert found is not None
    return found


def told(folder: Path, before: str, after: str) -> list[str]:
    """`add keys ITEMS | NOTE` for each difference."""
    found = routes(spec(folder / "before", before), spec(folder / "after", after))
    return [f"{item.action} {item.kind} {', '.join(item.items)} | {item.note}" for item in found]


@pytest.mark.parametrize(
    ("before", "after", "difference"),
    [
        (
            "",
            KEY,
            "add keys ci for chat, rate unlimited, is env:CI_KEY | from now on all requests need a key",
        ),
        (
            KEY,
            "",
            "remove keys ci for chat, rate unlimited, is env:CI_KEY | from now on everybody may use all models",
        ),
        (KEY, KEY.replace("CI_KEY", "CI_NEW"), "change keys ci is env:CI_KEY → env:CI_NEW | "),
        (KEY, KEY.replace(", models: [chat]", ""), "change keys ci for chat → all models | "),
        ("", TLS, "add tls  | from now on its URLs begin with https://10.0.0.11:8080"),
        (TLS, "", "remove tls  | from now on its URLs begin with http://10.0.0.11:8080"),
        (
            TLS,
            TLS.replace("file:b", "file:c").replace("}", ", name: gw.test}"),
            "change tls key file:b → file:c, name gw.test joins | ",
        ),
        ("", "models: {chat: {queue: 9}}", "change model queue the gateway's → 9 | "),
        ("", "queue: 9", "change queue 1024 → 9 | "),
    ],
)
def test_who_may_do_what_differently_is_told(
    tmp_path: Path, before: str, after: str, difference: str
) -> None:
    assert told(tmp_path, before, after) == [difference]
