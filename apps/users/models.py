"""People, what they may do platform-wide or in a region, and the keys they log in to machines with."""

from typing import Any, ClassVar

import pgtrigger
from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower, Now
from django.utils.translation import gettext_lazy as _

from apps.core.ids import IdField
from apps.core.permissions import PLATFORM_ROLES, REGION_ROLES, Role
from apps.users.specs import LONGEST_LIST_NAME, LONGEST_LIST_QUERY


class UserManager(BaseUserManager["User"]):
    """People are found by e-mail address, whatever its case."""

    def get_by_natural_key(self, username: str | None) -> "User":
        return self.get(email__iexact=username)

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":
        user = self.model(email=email.strip().lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user


# At least one active full administrator remains, however many transactions race: each waits here for
# the other at commit, and then counts what is really left.
_LAST_ADMINISTRATOR = """
    IF TG_TABLE_NAME = 'users_user' AND NOT EXISTS (
        SELECT 1 FROM users_staffrole
        WHERE user_id = (to_jsonb(NEW) ->> 'id')::uuid AND role = 'full_administrator'
    ) THEN
        RETURN NULL;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('hostedai.full_administrator'));
    IF NOT EXISTS (
        SELECT 1 FROM users_staffrole AS held JOIN users_user AS person ON person.id = held.user_id
        WHERE held.role = 'full_administrator' AND person.is_active
    ) THEN
        RAISE EXCEPTION 'the last full administrator cannot go'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'users_last_administrator';
    END IF;
    RETURN NULL;
"""


class User(AbstractBaseUser):
    """A person; signs in with an e-mail address."""

    id = IdField("usr", primary_key=True)
    email = models.EmailField(_("e-mail address"), unique=True)
    name = models.CharField(_("name"), max_length=120, blank=True)
    language = models.CharField(_("language"), max_length=8, default="en")
    time_zone = models.CharField(_("time zone"), max_length=64, default="UTC")
    is_active = models.BooleanField(_("active"), default=True)
    created_at = models.DateTimeField(_("signed up"), db_default=Now())

    objects = UserManager()

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(Lower("email"), name="users_email")]
        triggers: ClassVar = [
            pgtrigger.Trigger(
                name="last_administrator_active",
                level=pgtrigger.Row,
                when=pgtrigger.After,
                operation=pgtrigger.UpdateOf("is_active"),
                condition=pgtrigger.Q(old__is_active=True, new__is_active=False),
                timing=pgtrigger.Deferred,
                func=_LAST_ADMINISTRATOR,
            )
        ]

    def __str__(self) -> str:
        return self.email

    @property
    def label(self) -> str:
        """How others see this person: the name where there is one."""
        return self.name or self.email


class StaffRole(models.Model):
    """A role held on the whole platform, or in one region."""

    id = IdField("staff", primary_key=True)
    user = models.ForeignKey(User, models.CASCADE, related_name="staff_roles")
    role = models.CharField(_("role"), max_length=32, choices=[(r, r) for r in PLATFORM_ROLES + REGION_ROLES])
    region_id = IdField("reg", null=True, blank=True)
    region_slug = models.CharField(_("region"), max_length=40, blank=True)
    granted_by = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["user", "role", "region_id"], name="users_role_once", nulls_distinct=False
            ),
            models.CheckConstraint(
                condition=Q(role__in=[*PLATFORM_ROLES], region_id=None, region_slug="")
                | Q(role__in=[*REGION_ROLES], region_id__isnull=False),
                name="users_role_where_it_belongs",
            ),
        ]
        triggers: ClassVar = [
            pgtrigger.Trigger(
                name="last_administrator",
                level=pgtrigger.Row,
                when=pgtrigger.After,
                operation=pgtrigger.Update | pgtrigger.Delete,
                condition=pgtrigger.Q(old__role=Role.FULL_ADMINISTRATOR.value),
                timing=pgtrigger.Deferred,
                func=_LAST_ADMINISTRATOR,
            )
        ]

    def __str__(self) -> str:
        return f"{self.role} {self.region_slug}".strip()


class SshKey(models.Model):
    """A public key that a person may put on machines."""

    id = IdField("ssh", primary_key=True)
    user = models.ForeignKey(User, models.CASCADE, related_name="ssh_keys")
    name = models.CharField(_("name"), max_length=80)
    kind = models.CharField(_("kind"), max_length=64)
    public_key = models.TextField(_("public key"))
    fingerprint = models.CharField(_("fingerprint"), max_length=64)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ("name",)
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["user", "name"], name="users_ssh_key_name"),
            models.UniqueConstraint(fields=["user", "fingerprint"], name="users_ssh_key_once"),
        ]

    def __str__(self) -> str:
        return self.name


class SavedList(models.Model):
    """A list as a person likes to see it: its filters, order and columns under a name."""

    id = IdField("list", primary_key=True)
    user = models.ForeignKey(User, models.CASCADE, related_name="+")
    page = models.CharField(max_length=80)  # the panel and the route of the list
    name = models.CharField(_("name"), max_length=LONGEST_LIST_NAME)
    query = models.CharField(max_length=LONGEST_LIST_QUERY)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ("name",)
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["user", "page", "name"], name="users_list_name"),
        ]

    def __str__(self) -> str:
        return self.name
