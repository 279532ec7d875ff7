"""Models in the Admin panel: all teams', and the provider's own to publish."""

from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from apps.core.permissions import Permission
from apps.panels.kit import Empty, Link, SavedView
from apps.panels.registry import aliases, forms, pages, shared, uploads

ADD = Link(_("Add a model"), "model-new", Permission.MODEL_CREATE)


class ModelList(pages.ModelList):
    panel = "admin"
    columns = (
        shared.NAME,
        shared.STATE,
        shared.OWNER,
        shared.USED_BY,
        shared.PARAMETERS,
        shared.SIZE,
        shared.LICENCE,
        shared.SLUG,
    )
    views = (
        SavedView("all", _("All")),
        SavedView("provider", _("Provider's"), Q(team=None)),
        SavedView("teams", _("Teams' own"), Q(team__isnull=False)),
    )
    links = (ADD,)
    empty = Empty(
        _("No model yet"), _("Add one for everybody, or wait for the teams' own."), ADD, icon="package"
    )


class ModelPage(pages.ModelPage):
    panel = "admin"
    links = (
        Link(_("Import"), "model-import", Permission.MODEL_CREATE, icon="download"),
        Link(_("Upload"), "model-upload", Permission.MODEL_CREATE, icon="upload", primary=False),
        Link(_("Who may use it"), "model-share", Permission.MODEL_MANAGE, icon="share-2", primary=False),
        Link(_("Edit"), "model-edit", Permission.MODEL_MANAGE, icon="pencil", primary=False),
    )


class VersionPage(pages.VersionPage):
    panel = "admin"


class ModelNew(forms.ModelNew):
    panel = "admin"


class ModelEdit(forms.ModelEdit):
    panel = "admin"


class ModelImport(forms.ModelImport):
    panel = "admin"


class ModelAlias(aliases.ModelAlias):
    panel = "admin"


class ModelShare(forms.ModelShare):
    panel = "admin"


class ModelUpload(uploads.ModelUpload):
    panel = "admin"
    api = "/api/admin/v1/models"


class ModelPart(uploads.ModelPart):
    panel = "admin"
