"""Addresses of the Cluster API: one region, noun by noun."""

from django.urls import include, path
from rest_framework.routers import SimpleRouter

router = SimpleRouter(trailing_slash=False)

urlpatterns = [path("regions/<str:region>/", include(router.urls))]
