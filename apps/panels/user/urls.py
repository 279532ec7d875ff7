"""Addresses of the console panel, one line per page; names are those of kit/nav.py."""

from django.urls import URLPattern, path

from apps.panels.user import activity, home

app_name = "console"

urlpatterns: list[URLPattern] = [
    path("", home.Home.as_view(), name="home"),
    path("activity", activity.Activity.as_view(), name="activity"),
    path("activity/<str:pk>", activity.OperationPage.as_view(), name="operation"),
]
