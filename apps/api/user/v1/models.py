"""Models the team may use, and its own."""

from apps.api.base import TeamViewSet
from apps.api.models import AliasActions, FileActions, ModelActions, VersionActions
from apps.teams.models import Team


class RegistryModelViewSet(ModelActions, TeamViewSet):
    """Models that the team may use: its own, the provider's, and those that were shared with it."""

    def owner(self) -> Team:
        """The team of the address."""
        return self.team


class VersionViewSet(VersionActions, TeamViewSet):
    """Versions of a model: uploaded or imported, verified, then never changed."""


class FileViewSet(FileActions, TeamViewSet):
    """Files on their way straight into the object store, part by part; uploads may be resumed."""


class AliasViewSet(AliasActions, TeamViewSet):
    """Names that point at a version and may be moved; `latest` follows the newest by itself."""
