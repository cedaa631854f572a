"""`stackctl schema`: what may stand in an inventory, for editors and for reading."""

import json
from typing import Annotated

import typer

from stackctl.schema.catalogue import Catalogue
from stackctl.schema.document import json_schema
from stackctl.schema.fleet import Environment


def schema(
    catalogue: Annotated[
        bool, typer.Option("--catalogue", help="Of inventory/models.yaml instead of an environment's file.")
    ] = False,
) -> None:
    """Print the JSON Schema of inventory files, for editors."""
    described = json_schema(Catalogue if catalogue else Environment)
    typer.echo(json.dumps(described, indent=2))
