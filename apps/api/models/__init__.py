"""Models and their versions in the APIs; customers and staff differ in whose they may change."""

from apps.api.models.files import FileActions
from apps.api.models.models import AliasActions, ModelActions
from apps.api.models.versions import VersionActions

__all__ = ["AliasActions", "FileActions", "ModelActions", "VersionActions"]
