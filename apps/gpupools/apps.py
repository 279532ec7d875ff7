from django.apps import AppConfig


class GpuPoolsConfig(AppConfig):
    name = "apps.gpupools"

    def ready(self) -> None:
        from apps.gpupools import receivers  # noqa: F401, PLC0415
