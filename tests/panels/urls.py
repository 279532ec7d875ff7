"""The product's addresses and, inside the Console, the test pages."""

from django.urls import include, path

from apps.panels.user import urls as console
from hostedai.urls import urlpatterns as product
from tests.panels import pages

extra = [
    path("test-keys", pages.KeyList.as_view(), name="test-keys"),
    path("test-keys/new", pages.KeyNew.as_view(), name="test-key-new"),
    path("test-keys/<str:pk>", pages.KeyDetail.as_view(), name="test-key"),
]

urlpatterns = [
    path("console/<slug:team>/<slug:workspace>/", include((extra + console.urlpatterns, "console"))),
    *product,
]
