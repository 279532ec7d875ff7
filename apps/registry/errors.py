"""What the registry refuses."""

from apps.core.errors import Conflict, Invalid, Unavailable


class NameTaken(Conflict):
    code = "name_taken"


class VersionBusy(Conflict):
    """Something else is being done to the version."""

    code = "version_busy"


class InUse(Conflict):
    """Endpoints still serve the version."""

    code = "model_in_use"


class Incomplete(Conflict):
    """Files or parts of files are missing."""

    code = "upload_incomplete"


class UploadGone(Conflict):
    """The store no longer knows this upload; the file begins anew."""

    code = "upload_gone"


class BadManifest(Invalid):
    """The list of files cannot be a model."""

    code = "bad_manifest"


class BadReference(Invalid):
    """No name of a repository on the hub."""

    code = "bad_reference"


class StoreUnavailable(Unavailable):
    """The object store does not answer."""

    code = "object_store_unavailable"
