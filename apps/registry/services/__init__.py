"""Writes: models and who may use them, uploads, imports, and the life of versions."""

from apps.registry.services.imports import draft_from_hub, start_import
from apps.registry.services.life import (
    deprecate_version,
    restore_version,
    retire_version,
    revoke_version,
)
from apps.registry.services.models import (
    create_model,
    delete_alias,
    delete_model,
    set_alias,
    share_model,
    update_model,
)
from apps.registry.services.uploads import (
    arrived_parts,
    complete_file,
    complete_upload,
    give_up,
    put_part,
    sign_parts,
    start_upload,
)

__all__ = [
    "arrived_parts",
    "complete_file",
    "complete_upload",
    "create_model",
    "delete_alias",
    "delete_model",
    "deprecate_version",
    "draft_from_hub",
    "give_up",
    "put_part",
    "restore_version",
    "retire_version",
    "revoke_version",
    "set_alias",
    "share_model",
    "sign_parts",
    "start_import",
    "start_upload",
    "update_model",
]
