"""What the tests of the pages about money share: browsers, addresses, the words of a page."""

from typing import Any

import pytest
from django.test import Client

from apps.core.permissions import Role
from apps.teams.models import Team
from tests.factories.users import UserFactory


def browser(person: Any) -> Client:
    client = Client()
    client.force_login(person)
    return client


def console(team: Team, page: str) -> str:
    return f"/console/{team.slug}/default/{page}"


def text_of(response: Any) -> str:
    assert response.status_code == 200
    return str(response.content.decode())


@pytest.fixture
def staff() -> Client:
    """A full administrator's browser."""
    return browser(UserFactory(staff=Role.FULL_ADMINISTRATOR))
