"""Options that several commands share, each with one spelling and one meaning."""

from pathlib import Path
from typing import Annotated

import typer

Environment = Annotated[
    str, typer.Argument(metavar="ENV", help="Name of inventory/ENV.yaml.", show_default=False)
]
Limit = Annotated[str | None, typer.Option("--limit", metavar="HOST,...", help="Only these hosts.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
AcceptKeys = Annotated[
    bool, typer.Option("--accept-new-host-keys", help="Trust keys of hosts seen for the first time.")
]
Deadline = Annotated[
    int,
    typer.Option("--deadline", metavar="SECONDS", help="Give a host up that takes longer.", min=1),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Batch = Annotated[
    int | None, typer.Option("--batch", metavar="N", help="At most so many hosts at a time.", min=1)
]
MaxFailures = Annotated[
    int,
    typer.Option(
        "--max-failures", metavar="N", help="Begin no more hosts once more than N have failed.", min=0
    ),
]
AllowReboot = Annotated[bool, typer.Option("--allow-reboot", help="Reboot hosts whose plan says so.")]
BreakLock = Annotated[bool, typer.Option("--break-lock", help="Take hosts over from a run that is dead.")]
ProjectPath = Annotated[
    Path | None,
    typer.Option("--project", metavar="DIR", help="Folder with inventory/; default: the nearest one upward."),
]
HostName = Annotated[
    str, typer.Argument(metavar="HOST", help="A host of any environment.", show_default=False)
]
WhichEnvironment = Annotated[
    str | None, typer.Option("--environment", metavar="ENV", help="Where more than one has the host.")
]
