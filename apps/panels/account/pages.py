"""One's own profile, security and teams, and the page behind an invitation's link."""

from typing import Any
from zoneinfo import available_timezones

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.http import HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.generic import View

from apps.audit.selectors import own_records
from apps.core.actor import Actor
from apps.core.errors import DomainError
from apps.panels.account.adapter import speak
from apps.panels.audit import action_of
from apps.panels.kit.forms import add_refusal, dress
from apps.panels.kit.shell import theme
from apps.panels.roles import role_of
from apps.teams import services as teams
from apps.teams.models import Team
from apps.teams.selectors import rows
from apps.teams.selectors.invitations import joined_by, preview_invitation
from apps.users import services
from apps.users.selectors import sessions


class AccountView(View):
    """A page about oneself, outside the panels; signed in, no role needed."""

    template: str

    @property
    def actor(self) -> Actor:
        actor: Actor = self.request.actor  # type: ignore[attr-defined]
        return actor

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not request.user.is_authenticated:
            return redirect_to_login(request.get_full_path())
        return super().dispatch(request, *args, **kwargs)

    def show(self, context: dict[str, Any], status: int = 200) -> HttpResponse:
        shown = {"theme": theme(self.request), **context}
        return render(self.request, self.template, shown, status=status)


class ProfileFields(forms.Form):
    name = forms.CharField(label=gettext_lazy("Name"), max_length=120, required=False)
    language = forms.ChoiceField(label=gettext_lazy("Language"), choices=settings.LANGUAGES)
    time_zone = forms.ChoiceField(
        label=gettext_lazy("Time zone"),
        choices=lambda: [(zone, zone) for zone in sorted(available_timezones())],
        help_text=gettext_lazy("For times on pages; bills are in UTC."),
    )


class Profile(AccountView):
    """How one is called and spoken to, and which teams one is in."""

    template = "account/profile.html"

    def get(self, request: Any) -> HttpResponse:
        user = request.user
        initial = {"name": user.name, "language": user.language, "time_zone": user.time_zone}
        return self.page(ProfileFields(initial=initial))

    def post(self, request: Any) -> HttpResponse:
        if leaving := request.POST.get("leave"):
            return self.leave(leaving)
        form = ProfileFields(request.POST)
        if not form.is_valid():
            return self.page(form, 422)
        services.update_profile(actor=self.actor, **form.cleaned_data)
        messages.success(request, _("Your profile is saved."))
        response = HttpResponseRedirect(reverse("account-profile"))
        speak(response, form.cleaned_data["language"])
        return response

    def leave(self, team_id: str) -> HttpResponse:
        try:
            teams.leave_team(actor=self.actor, team=rows.team(self.actor, team_id))
            messages.success(self.request, _("You have left the team."))
        except DomainError as error:
            messages.error(self.request, error.message)
        return HttpResponseRedirect(reverse("account-profile"))

    def page(self, form: forms.Form, status: int = 200) -> HttpResponse:
        found = rows.own_memberships(self.actor)
        held = [(member.team, role_of(member.role)) for member in found]
        return self.show({"form": dress(form), "teams": held}, status)


class Security(AccountView):
    """The ways in, and what was done with them lately."""

    template = "account/security.html"

    def get(self, request: Any) -> HttpResponse:
        found = own_records(self.actor).order_by("-id")[:25]
        done = [(action_of(one), one) for one in found]
        current = request.session.session_key
        open_ones = [(one, one.session_key == current) for one in sessions(self.actor)]
        return self.show({"done": done, "sessions": open_ones})

    def post(self, request: Any) -> HttpResponse:
        chosen = request.POST.get("end", "")
        if chosen == "others":
            services.end_sessions(actor=self.actor, user=request.user, but=request.session.session_key)
            messages.success(request, _("All other sessions are ended."))
        elif chosen.isascii() and chosen.isdecimal() and len(chosen) < 18:
            try:
                services.end_session(actor=self.actor, session_id=int(chosen))
                messages.success(request, _("The session is ended."))
            except DomainError as error:
                messages.error(request, error.message)
        return HttpResponseRedirect(reverse("account-security"))


class TeamFields(forms.Form):
    name = forms.CharField(label=gettext_lazy("Name"), max_length=80)


class TeamCreate(AccountView):
    """A team of one's own."""

    template = "account/team_new.html"

    def get(self, request: Any) -> HttpResponse:
        return self.show({"form": dress(TeamFields())})

    def post(self, request: Any) -> HttpResponse:
        form = TeamFields(request.POST)
        if form.is_valid():
            try:
                team = teams.create_team(actor=self.actor, name=form.cleaned_data["name"], owner=request.user)
            except DomainError as error:
                add_refusal(form, error)
            else:
                return _to_team(team)
        return self.show({"form": dress(form)}, 422)


class InvitationPage(View):
    """What the link in the mail opens: who invites to what, and the way to accept."""

    def get(self, request: Any, token: str) -> HttpResponse:
        # Who signs up by the link is in the team as soon as the address is confirmed, and comes back here.
        team = joined_by(request.actor, token)
        return _to_team(team) if team else self.page(request, token)

    def post(self, request: Any, token: str) -> HttpResponse:
        if not request.user.is_authenticated:
            return HttpResponseRedirect(f"{reverse('account_login')}?next={request.path}")
        try:
            member = teams.accept_invitation(actor=request.actor, token=token)
        except DomainError as error:
            return self.page(request, token, error)
        messages.success(request, _("Welcome to %(team)s.") % {"team": member.team.name})
        return _to_team(member.team)

    def page(self, request: Any, token: str, refusal: DomainError | None = None) -> HttpResponse:
        context: dict[str, Any] = {"theme": theme(request), "refusal": refusal}
        try:
            invitation = preview_invitation(token)
        except DomainError as error:
            return render(request, "account/invitation.html", {**context, "refusal": error}, status=422)
        context |= {"invitation": invitation, "role": role_of(invitation.role)}
        return render(request, "account/invitation.html", context, status=422 if refusal else 200)


def _to_team(team: Team) -> HttpResponse:
    return HttpResponseRedirect(f"/console/{team.slug}/{teams.FIRST_WORKSPACE}/")
