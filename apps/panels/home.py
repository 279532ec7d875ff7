"""The front door: visitors see what there is, each person is sent to their panel."""

from collections.abc import Sequence
from typing import Any

from django.contrib.auth.views import redirect_to_login
from django.http import HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import render
from django.urls import NoReverseMatch, reverse
from django.views.generic import View

from apps.panels.kit.places import address_of, bare_place, every_region, last_or_first, panels_of
from apps.panels.kit.shell import account_links, theme
from apps.panels.public import landing
from apps.regions.models import Region
from apps.teams.models import Workspace


class Home(View):
    """Signed out: the landing page. Signed in: to the first panel one may open."""

    def get(self, request: Any) -> HttpResponseBase:
        if not request.user.is_authenticated:
            return landing(request)
        panels = panels_of(bare_place(request.actor), request.actor, request.COOKIES)
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


class Door(View):
    """The address of a panel without a team or region: on to where one was last, else to the first."""

    panel = ""

    def get(self, request: Any) -> HttpResponseBase:
        if not request.user.is_authenticated:
            return redirect_to_login(request.get_full_path())
        bare = bare_place(request.actor)
        found: Sequence[Workspace | Region] = bare.workspaces
        if self.panel == "cluster":
            found = bare.regions or tuple(every_region(request.actor))
        if not found:
            return HttpResponseRedirect(reverse("home"))
        one = last_or_first(found, request.COOKIES.get(f"last_{self.panel}", ""))
        return HttpResponseRedirect(reverse(f"{self.panel}:home", kwargs=address_of(one)))
