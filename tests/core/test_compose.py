import yaml

from stackctl.core.compose import Port, Service, service_yaml


def service(*command: str) -> Service:
    port = Port(target=8000, host_ip="10.0.0.1", published="8000")
    return Service(image="a@sha256:00", command=command, ports=(port,), stop_grace_period="5s")


def test_texts_are_quoted_so_that_yaml_leaves_them_alone() -> None:
    text = service_yaml(service("on", "12:30", "0755"))

    assert 'command:\n- "on"\n- "12:30"\n- "0755"\n' in text
    assert yaml.safe_load(text)["command"] == ["on", "12:30", "0755"]


def test_a_dollar_is_safe_from_compose() -> None:
    assert yaml.safe_load(service_yaml(service("$HOME ${x}")))["command"] == ["$$HOME $${x}"]


def test_a_port_is_bound_to_one_address() -> None:
    assert yaml.safe_load(service_yaml(service()))["ports"] == [
        {"target": 8000, "host_ip": "10.0.0.1", "published": "8000", "protocol": "tcp"}
    ]


def test_what_is_not_given_is_not_written() -> None:
    assert not {"environment", "healthcheck", "deploy", "labels"} & set(
        yaml.safe_load(service_yaml(service()))
    )
