"""People, made as the product makes them."""

from typing import Any

import factory

from apps.core.actor import SYSTEM
from apps.core.permissions import Role
from apps.users.models import User
from apps.users.services import grant_staff_role, register_user

PASSWORD = "a long enough password"


class UserFactory(factory.Factory):
    """A person with a confirmed address and `PASSWORD`; `staff=` gives a platform role."""

    class Meta:
        model = User

    email = factory.Sequence(lambda n: f"person{n}@example.com")
    name = factory.Sequence(lambda n: f"Person {n}")
    password = PASSWORD
    is_confirmed = True
    staff: Role | None = None

    @classmethod
    def _create(cls, model_class: type[User], *_args: Any, staff: Role | None, **fields: Any) -> User:
        user = register_user(actor=SYSTEM, **fields)
        if staff:
            grant_staff_role(actor=SYSTEM, user=user, role=staff)
        return user


def region_staff(role: Role, region: Any, **fields: Any) -> User:
    """A person with a role in one region, or with None on the whole platform."""
    user: User = UserFactory(**fields)
    where = {"region_id": region.pk, "region_slug": region.slug} if region else {}
    grant_staff_role(actor=SYSTEM, user=user, role=role, **where)
    return user
