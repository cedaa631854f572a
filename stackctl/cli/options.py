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
ProjectPath = Annotated[
    Path | None,
    typer.Option("--project", metavar="DIR", help="Folder with inventory/; default: the nearest one upward."),
]
