"""`stackctl ask`: one chat completion through the gateway, the quickest proof that a model serves."""

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from http.client import HTTPConnection, HTTPException, HTTPResponse
from socket import socket
from typing import Annotated, Any

import typer

from stackctl import project as projects
from stackctl.capabilities import load_fleet
from stackctl.capabilities.gateway import GatewaySpec
from stackctl.cli.options import Environment, ProjectPath
from stackctl.core.finding import FailureError, Finding, FindingsError
from stackctl.core.job import Job
from stackctl.core.secret import SecretRef
from stackctl.engine.dial import dial
from stackctl.engine.tls import secured
from stackctl.engine.tunnel import through_host
from stackctl.ops import secret
from stackctl.render import jobs
from stackctl.schema.wording import similar
from stackctl.views.terminal import plain

_CONNECT_SECONDS = 10
_ANSWER_SECONDS = 300
_PATH = "/v1/chat/completions"


def ask(
    environment: Environment,
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A model of the catalogue.", show_default=False)
    ],
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What to say to it.", show_default=False)],
    tokens: Annotated[int, typer.Option("--max-tokens", help="Longest answer, in tokens.", min=1)] = 64,
    key: Annotated[
        str | None,
        typer.Option(
            "--key",
            metavar="NAME",
            help="One of `gateway.keys`; default: the first with a `secret` that may use MODEL.",
        ),
    ] = None,
    project: ProjectPath = None,
) -> None:
    """Send one chat message to a model through the gateway and print the answer as it streams in."""
    found = projects.of(project)
    fleet = load_fleet(found.root, environment)
    job, spec = _gateway(jobs(fleet, found), environment)
    reached = _directly if spec.address == str(fleet.hosts[job.host].address) else _over_ssh
    body = {
        "model": model,
        "messages": [{"role": "user", "content": text}],
        "max_tokens": tokens,
        "stream": True,
    }
    headers = {"Content-Type": "application/json", **_proof(spec, environment, model, key)}
    authorities = None if spec.tls is None or spec.tls.ca is None else secret.value(spec.tls.ca)
    url = f"{spec.url}{_PATH}"
    try:
        with reached(job, spec) as carrier:
            name = spec.address if spec.tls is None or spec.tls.name is None else spec.tls.name
            connected = carrier if spec.tls is None else secured(carrier, name, authorities)
            for piece in _streamed(connected, spec, body, headers):
                typer.echo(piece, nl=False)
    except (OSError, HTTPException) as error:
        hint = f"see `stackctl plan {environment}`, and `systemctl status haproxy` on {job.host}"
        raise FailureError(Finding(url, f"no answer: {error}", hint)) from error
    typer.echo()


def _gateway(all_jobs: tuple[Job, ...], environment: str) -> tuple[Job, GatewaySpec]:
    for job in all_jobs:
        for part in job.parts:
            if isinstance(part.spec, GatewaySpec):
                return job, part.spec
    what = "no host has the role `gateway`"
    raise FindingsError(Finding(f"inventory/{environment}.yaml", what, "give one host `roles: [gateway]`"))


@contextmanager
def _directly(job: Job, spec: GatewaySpec) -> Iterator[socket]:
    with dial(spec.address, spec.port, timeout=_CONNECT_SECONDS, namespace=job.connection.namespace) as found:
        yield found


def _over_ssh(job: Job, spec: GatewaySpec) -> AbstractContextManager[socket]:
    """In the mesh the gateway answers members alone, and the operator's machine need be none."""
    return through_host(job.connection, spec.address, spec.port, _CONNECT_SECONDS)


def _proof(spec: GatewaySpec, environment: str, model: str, chosen: str | None) -> dict[str, str]:
    """The header that shows a key, where the gateway asks for one."""
    if chosen is not None and chosen not in {key.name for key in spec.keys}:
        hint = similar(chosen, [key.name for key in spec.keys], "leave `--key` out")
        raise FindingsError(Finding("--key", f"`{chosen}` is not one of `gateway.keys`", hint))
    named = (key for key in spec.keys if chosen == key.name or (chosen is None and key.may_use(model)))
    for key in named:
        if isinstance(key.source, SecretRef):
            return {"Authorization": f"Bearer {secret.line(key.source)}"}
    if not spec.keys:
        return {}
    what = f"the gateway takes a key, and none that may use `{model}` has a `secret` to read"
    if chosen is not None:
        what = f"`{chosen}` is known by its `sha256` alone"
    hint = "name a key with a `secret` by `--key`, or give one under `gateway.keys`"
    raise FindingsError(Finding(f"inventory/{environment}.yaml", what, hint))


def _streamed(
    connected: socket, spec: GatewaySpec, body: dict[str, Any], headers: dict[str, str]
) -> Iterator[str]:
    with closing(HTTPConnection(spec.address, spec.port, timeout=_ANSWER_SECONDS)) as connection:
        connection.sock = connected
        connection.sock.settimeout(_ANSWER_SECONDS)
        connection.request("POST", _PATH, json.dumps(body).encode(), headers)
        with connection.getresponse() as response:
            if response.status != 200:
                raise FindingsError(_refusal(spec, response))
            for line in response:
                # Other lines are comments, which keep the connection open, and names of events.
                name, _, data = line.decode(errors="replace").partition(":")
                if name == "data" and data.strip() != "[DONE]":
                    yield _content(_parsed(data))


def _parsed(data: str) -> dict[str, Any]:
    try:
        parsed = json.loads(data)
    except ValueError as error:
        raise HTTPException(f"the model sent what is not JSON: {data.strip()[:200]}") from error
    return parsed if isinstance(parsed, dict) else {}


def _content(event: dict[str, Any]) -> str:
    if "error" in event:
        error = event["error"]
        message = error.get("message", error) if isinstance(error, dict) else error
        raise HTTPException(f"the model ended the stream: {message}")
    choices = event.get("choices") or [{}]
    return plain(str(choices[0].get("delta", {}).get("content") or ""))


def _refusal(spec: GatewaySpec, response: HTTPResponse) -> Finding:
    text = response.read().decode(errors="replace")
    try:
        text = json.loads(text)["error"]["message"]
    except (ValueError, KeyError, TypeError):
        text = text[:200]
    return Finding(
        f"{spec.url}{_PATH}",
        f"status {response.status}: {text}",
        "see the gateway's `/v1/models` for what it serves",
    )
