"""All models: the provider's own and the teams'."""

from apps.api.base import PlatformViewSet
from apps.api.models import AliasActions, FileActions, ModelActions, VersionActions


class RegistryModelViewSet(ModelActions, PlatformViewSet):
    """Models of all teams, and the provider's own, which this API adds and publishes."""

    def owner(self) -> None:
        """The provider."""
        return


class VersionViewSet(VersionActions, PlatformViewSet):
    """Versions of a model: uploaded or imported, verified, then never changed."""


class FileViewSet(FileActions, PlatformViewSet):
    """Files on their way straight into the object store, part by part; uploads may be resumed."""


class AliasViewSet(AliasActions, PlatformViewSet):
    """Names that point at a version and may be moved; `latest` follows the newest by itself."""
