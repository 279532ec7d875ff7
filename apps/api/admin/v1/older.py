"""Where the older systems' clients launch models."""

from django.urls import include, path

from apps.api.admin.v1.urls import launches

urlpatterns = [path("admin/", include(launches))]
