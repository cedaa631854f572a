import json

from stackctl.core.finding import Finding
from stackctl.views.findings import findings_json, findings_text, findings_totals

ERROR = Finding("inventory/lab.yaml:14", "`hosts.a.adress` is not a setting", "did you mean `address`?")
WARNING = Finding("inventory/lab.yaml:20", "`profiles.p` is not used by any host", severity="warning")
DETAILED = Finding(
    "gpu1 · wait for chat", "it is not healthy", "read its log", ("last line", "very last line")
)


def test_a_finding_names_the_place_the_thing_and_the_way_out() -> None:
    assert findings_text([ERROR, WARNING]) == (
        "inventory/lab.yaml:14  `hosts.a.adress` is not a setting\n"
        "  hint: did you mean `address`?\n"
        "inventory/lab.yaml:20  warning: `profiles.p` is not used by any host"
    )


def test_evidence_stands_between_the_thing_and_the_way_out() -> None:
    assert findings_text([DETAILED]).splitlines()[1:] == [
        "    last line",
        "    very last line",
        "  hint: read its log",
    ]


def test_totals_count_each_kind() -> None:
    assert findings_totals([ERROR, WARNING, ERROR]) == "2 errors, 1 warning."
    assert findings_totals([ERROR]) == "1 error."


def test_machines_get_the_values() -> None:
    found = json.loads(findings_json([ERROR], valid=False))

    assert (found["format"], found["valid"], found["findings"][0]["hint"]) == (
        1,
        False,
        "did you mean `address`?",
    )
