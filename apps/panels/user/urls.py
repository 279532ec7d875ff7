"""Addresses of the console panel, one line per page; names are those of kit/nav.py."""

from django.urls import URLPattern, path

app_name = "console"

urlpatterns: list[URLPattern] = []
