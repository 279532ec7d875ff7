"""An id tells its kind by its prefix, so no two kinds share one."""

from collections import Counter

from django.apps import apps

from apps.core.ids import IdField


def test_each_kind_has_a_prefix_of_its_own() -> None:
    keys = [model._meta.pk for model in apps.get_models()]
    # A key by another name is that of the row it goes with.
    prefixes = Counter(key.prefix for key in keys if isinstance(key, IdField) and key.name == "id")
    assert [prefix for prefix, count in prefixes.items() if count > 1] == []
