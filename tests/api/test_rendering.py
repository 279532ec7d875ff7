"""What the quick renderer writes is what REST framework's would."""

import json
import uuid
from datetime import UTC, datetime
from decimal import Decimal

from django.db.models import TextChoices
from django.utils.safestring import mark_safe
from django.utils.translation import gettext_lazy
from rest_framework.exceptions import ErrorDetail
from rest_framework.renderers import JSONRenderer

from apps.api.rendering import Renderer


class Colour(TextChoices):
    RED = "red", "Red"


def test_both_write_the_same() -> None:
    data = {
        "text": "ü €", "safe": mark_safe("<b>"), "lazy": gettext_lazy("Name"), "no": ErrorDetail("no", "x"),
        "choice": Colour.RED, "id": uuid.UUID(int=7), "none": None, "yes": True,
        "at": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "to": datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC),
        "list": [1, -2, 2**53, 1.5, {"deep": ()}], "keys": {1: "one"},
    }  # fmt: skip
    assert json.loads(Renderer().render(data)) == json.loads(JSONRenderer().render(data))
    assert Renderer().render({"amount": Decimal("12.500")}) == b'{"amount":"12.500"}'  # never a float
    assert Renderer().render(None) == b""
    assert Renderer().render({"big": 2**70}) == JSONRenderer().render({"big": 2**70})
