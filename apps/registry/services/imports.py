"""Imports from the hub: accepted here, carried out by the reconciler, file by file."""

from django.db import transaction

from apps.core.actor import Actor
from apps.core.envelope import seal, unseal
from apps.core.permissions import Permission
from apps.registry.models import Model, ModelVersion
from apps.registry.services import life
from apps.registry.services.uploads import begin, new_draft
from apps.registry.specs import IMPORT, HubSource, check_source
from apps.registry.states import Origin
from apps.registry.weights import Facts


@transaction.atomic
def start_import(
    *, actor: Actor, model: Model, source: HubSource, note: str = "", draft: ModelVersion | None = None
) -> ModelVersion:
    """Copy a repository of the hub into a new version (or a draft). The hub is the provider's choice; a
    token is kept sealed and forgotten when the import has ended."""
    actor.require(Permission.MODEL_CREATE, model.scope)
    check_source(source)
    version = life.locked(draft) if draft else new_draft(actor=actor, model=model, note=note)
    version = begin(actor=actor, version=version, origin=Origin.HUGGING_FACE, plan=IMPORT)
    version.source, version.revision = source.repository, source.revision
    version.wanted = list(source.files)
    version.hub_token = seal(source.token.encode(), context=_context(version)) if source.token else ""
    version.save(update_fields=["source", "revision", "wanted", "hub_token"])
    return version


@transaction.atomic
def draft_from_hub(*, actor: Actor, model: Model, source: HubSource, facts: Facts) -> ModelVersion:
    """An entry of the catalogue: what is known of a model on the hub whose files nobody has fetched yet.
    It can be looked at and imported; it cannot be served."""
    actor.require(Permission.MODEL_MANAGE, model.scope)
    check_source(source)
    version = new_draft(actor=actor, model=model)
    version.origin = Origin.HUGGING_FACE
    version.source, version.revision = source.repository, source.revision
    version.wanted = list(source.files)
    write_facts(version, facts)
    version.save()
    return version


def write_facts(version: ModelVersion, facts: Facts) -> None:
    """Copy what the files say; 0 means that they do not say."""
    version.format, version.architecture, version.dtype = facts.format, facts.architecture, facts.dtype
    version.has_chat_template = facts.has_chat_template
    for name in ("parameters", "context_length", "layers", "hidden_size", "heads", "kv_heads", "head_dim"):
        setattr(version, name, getattr(facts, name) or None)
    version.vocabulary = facts.vocabulary or None


def hub_token(version: ModelVersion) -> str:
    """The token that was given for this import, if any."""
    if not version.hub_token:
        return ""
    return unseal(version.hub_token, context=_context(version)).decode()


def _context(version: ModelVersion) -> str:
    return f"registry_modelversion.hub_token.{version.pk}"
