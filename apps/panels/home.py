"""The front door: visitors see what there is, each person is sent to their panel."""

from typing import Any

from django.http import HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import render
from django.urls import NoReverseMatch, reverse
from django.views.generic import View

from apps.core.actor import PLATFORM
from apps.panels.kit.places import Place, panels_of, regions_of, workspaces_of
from apps.panels.kit.shell import account_links, theme
from apps.panels.public import landing


class Home(View):
    """Signed out: the landing page. Signed in: to the first panel one may open."""

    def get(self, request: Any) -> HttpResponseBase:
        if not request.user.is_authenticated:
            return landing(request)
        place = Place(
            "", PLATFORM, workspaces=workspaces_of(request.actor), regions=regions_of(request.actor)
        )
        panels = panels_of(place, request.actor)
        if panels:
            return HttpResponseRedirect(panels[0][3])
        return self.nothing(request)

    def nothing(self, request: Any) -> HttpResponse:
        """Nobody's member yet: make a team, or wait for an invitation."""
        try:
            create = reverse("team-create")
        except NoReverseMatch:
            create = ""
        context = {"create_url": create, "account_links": account_links(), "theme": theme(request)}
        return render(request, "home/nothing.html", context)
