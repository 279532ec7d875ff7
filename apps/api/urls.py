"""Addresses of the three APIs; whatever else is asked for under /api/ is a problem document."""

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import include, path, re_path
from django.views.decorators.csrf import csrf_exempt

from apps.api import docs
from apps.api.audiences import AUDIENCES
from apps.api.errors import PROBLEM, missing_route


@csrf_exempt
def nothing(request: HttpRequest) -> HttpResponse:
    return JsonResponse(missing_route(request), status=404, content_type=PROBLEM)


urlpatterns = [
    *[path(f"{one.name}/v1/openapi.json", docs.openapi, {"name": one.name}) for one in AUDIENCES],
    *[path(f"{one.name}/v1/docs", docs.page, {"name": one.name}) for one in AUDIENCES],
    *[path(f"{one.name}/v1/", include(one.urlconf)) for one in AUDIENCES],
    re_path("", nothing),
]
