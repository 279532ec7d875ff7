from django.apps import AppConfig


class NodesConfig(AppConfig):
    name = "apps.nodes"

    def ready(self) -> None:
        from apps.nodes import receivers  # noqa: F401, PLC0415
