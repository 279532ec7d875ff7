from datetime import UTC

from django.apps import AppConfig
from django.db.backends.postgresql.psycopg_any import get_adapters_template

from apps.core.instants import UtcLoader


class CoreConfig(AppConfig):
    name = "apps.core"

    def ready(self) -> None:
        get_adapters_template(True, UTC).register_loader("timestamptz", UtcLoader)
