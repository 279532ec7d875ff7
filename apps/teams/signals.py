"""News from the tenancy. Every signal carries `actor`; they are sent inside the transaction."""

from django.dispatch import Signal

team_created = Signal()  # team, actor
team_renamed = Signal()  # team, actor
team_suspended = Signal()  # team, actor, reason
team_resumed = Signal()  # team, actor
team_closed = Signal()  # team, actor
workspace_created = Signal()  # workspace, actor
workspace_deleted = Signal()  # workspace, actor
membership_changed = Signal()  # team, user, role (None when removed), actor
api_key_created = Signal()  # key, actor
api_key_revoked = Signal()  # key, actor
