"""The models that all environments share."""

from collections.abc import Mapping

from pydantic import Field

from stackctl.core.form import ModelName
from stackctl.core.model import Model
from stackctl.servers import ModelServer


class Catalogue(Model):
    """`inventory/models.yaml`: images, arguments and weights are written here and nowhere else."""

    models: Mapping[ModelName, ModelServer] = Field(default_factory=dict)
    """Models by the name that requests call them."""
