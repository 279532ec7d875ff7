"""Where agents have always reported."""

from django.urls import include, path

urlpatterns = [path("admin/", include("apps.api.agent.v1.urls"))]
