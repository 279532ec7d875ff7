"""Keys in the Console: one's own SSH keys, and the team's API keys."""

from typing import Any

from django import forms
from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from apps.core.permissions import Permission
from apps.panels import keys
from apps.panels.kit import Action, Column, Empty, FormPage, Link, Resource, Section, moment
from apps.users import selectors, services
from apps.users.models import SshKey

DELETE_SSH_KEY = Action(
    "delete",
    _("Delete"),
    Permission.WORKSPACE_READ,
    lambda view, key: services.delete_ssh_key(actor=view.actor, key=key),
    icon="trash-2",
    confirm=_("New machines no longer get it. Machines that have it keep it."),
    danger=True,
    bulk=True,
    done=_("The key is deleted."),
)


class SshKeyList(Resource):
    panel = "console"
    title = _("SSH keys")
    intro = _("Your own keys, in all your teams. Put one on a machine to log in with ssh.")
    permission = Permission.WORKSPACE_READ
    model = SshKey
    order = "name"
    search = ("name", "fingerprint")
    search_hint = _("Search by name or fingerprint")
    actions = (DELETE_SSH_KEY,)
    links = (Link(_("Add a key"), "ssh-key-new"),)
    empty = Empty(
        _("No SSH key yet"),
        _("Paste the public half of a key; the terminal in the browser works without one."),
        Link(_("Add a key"), "ssh-key-new"),
        icon="key-round",
    )
    columns = (
        Column("name", _("Name"), sort="name", main=True),
        Column("kind", _("Kind"), sort="kind", mono=True, priority=2),
        Column("fingerprint", _("Fingerprint"), mono=True, priority=2),
        moment("created", _("Added"), "created_at", num=True),
    )

    def rows(self) -> QuerySet[Any]:
        return selectors.ssh_keys(self.actor)


class SshKeyFields(forms.Form):
    name = forms.CharField(
        label=_("Name"), max_length=80, required=False, help_text=_("“laptop”, for example.")
    )
    public_key = forms.CharField(
        label=_("Public key"),
        max_length=16_384,
        widget=forms.Textarea(attrs={"rows": 4, "class": "mono", "spellcheck": "false"}),
        help_text=_(
            "The one line of ~/.ssh/id_ed25519.pub. ed25519, ecdsa, rsa from 2048 bits, hardware keys."
        ),
    )


class SshKeyNew(FormPage):
    panel = "console"
    title = _("Add an SSH key")
    nav = "ssh-keys"
    permission = Permission.WORKSPACE_READ
    form_class = SshKeyFields
    submit = _("Add the key")
    done = _("The key is added.")
    sections = (
        Section(_("Key"), _("No key yet? “ssh-keygen -t ed25519” makes one."), ("name", "public_key")),
    )

    def crumbs(self) -> list[tuple[str, str]]:
        return [(str(_("SSH keys")), self.url("ssh-keys"))]

    def save(self, data: dict[str, Any]) -> Any:
        services.add_ssh_key(actor=self.actor, **data)
        return self.url("ssh-keys")


class ApiKeyList(keys.KeyList):
    panel = "console"
    columns = (
        *keys.KeyList.columns,
        Column(
            "models",
            _("Models"),
            lambda key: _("%(n)s models") % {"n": len(key.models)} if key.models else _("All"),
            priority=3,
            text=lambda key: " ".join(key.models),
            to="api-key-limits",
        ),
    )


class ApiKeyNew(keys.KeyNew):
    panel = "console"


class ApiKeyRotate(keys.KeyRotate):
    panel = "console"
    nav = "api-keys"
