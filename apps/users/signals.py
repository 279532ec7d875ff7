"""News about people; sent inside the transaction."""

from django.dispatch import Signal

user_deactivated = Signal()  # user, actor
staff_role_changed = Signal()  # user, role, region_id, granted (bool), actor
