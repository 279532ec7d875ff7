from django.apps import AppConfig


class GpuPoolsConfig(AppConfig):
    name = "apps.gpupools"
