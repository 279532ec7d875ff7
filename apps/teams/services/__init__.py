"""What may be done to teams, their members, workspaces and keys."""

from apps.teams.services.invitations import (
    Invited,
    accept_invitation,
    accept_open_invitations,
    invite_member,
    revoke_invitation,
)
from apps.teams.services.keys import (
    IssuedKey,
    bootstrap_administrator,
    create_api_key,
    note_keys_used,
    revoke_api_key,
    rotate_api_key,
)
from apps.teams.services.members import add_member, change_role, leave_team, remove_member
from apps.teams.services.teams import (
    FIRST_WORKSPACE,
    close_team,
    create_team,
    rename_team,
    resume_team,
    suspend_team,
    welcome_user,
)
from apps.teams.services.workspaces import create_workspace, delete_workspace, rename_workspace

__all__ = [
    "FIRST_WORKSPACE",
    "Invited",
    "IssuedKey",
    "accept_invitation",
    "accept_open_invitations",
    "add_member",
    "bootstrap_administrator",
    "change_role",
    "close_team",
    "create_api_key",
    "create_team",
    "create_workspace",
    "delete_workspace",
    "invite_member",
    "leave_team",
    "note_keys_used",
    "remove_member",
    "rename_team",
    "rename_workspace",
    "resume_team",
    "revoke_api_key",
    "revoke_invitation",
    "rotate_api_key",
    "suspend_team",
    "welcome_user",
]
