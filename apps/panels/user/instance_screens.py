"""The tabs of a machine with a screen in them, and the tickets that open it."""

from typing import Any, ClassVar

from django.http import HttpResponse, HttpResponseBase, JsonResponse

from apps.core.errors import DomainError
from apps.core.permissions import Permission
from apps.instances import services
from apps.instances.states import State
from apps.panels.kit import Html, PanelView
from apps.panels.user.instance import InstancePage


class Screen(InstancePage):
    """A tab with a screen in it: a route of its own, because xterm needs inline styles."""

    permission = Permission.INSTANCE_ACCESS
    live = ""
    ticket_route: ClassVar[str]

    def get(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponseBase:
        response = super().get(request, *args, **kwargs)
        response.headers["Content-Security-Policy"] = (
            "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
            "font-src 'self'; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
        )
        return response

    def context(self) -> dict[str, Any]:
        return {**super().context(), "scripts": ["dist/term.js"], "styles": ["dist/xterm.css"]}

    def main_screen(self) -> list[Any]:
        context = {
            "ticket": self.url(self.ticket_route, pk=self.pk),
            "socket": "/terminal" if self.tab == "terminal" else "/console-screen",
            "is_open": self.object.state == State.RUNNING,
            "state": self.object.get_state_display(),
            "is_console": self.tab == "console",
        }
        return [Html("console/screen.html", context)]

    main_terminal = main_screen
    main_console = main_screen


class TerminalPage(Screen):
    tab = "terminal"
    ticket_route = "instance-terminal-ticket"


class ConsolePage(Screen):
    tab = "console"
    ticket_route = "instance-console-ticket"


class Ticket(PanelView):
    """A one-time ticket for a screen, as JSON; refused like everything else, with the reason."""

    panel = "console"
    permission = Permission.INSTANCE_ACCESS
    issue: ClassVar[Any]

    def post(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        origin = request.headers.get("Origin", "")
        try:
            secret = type(self).issue(actor=self.actor, instance_id=self.pk, origin=origin)
        except DomainError as error:
            return JsonResponse({"detail": str(error.message), "code": error.reason}, status=409)
        answer = JsonResponse({"ticket": secret})
        answer.headers["Cache-Control"] = "no-store"
        return answer


class TerminalTicket(Ticket):
    issue = staticmethod(services.issue_terminal_ticket)


class ConsoleTicket(Ticket):
    issue = staticmethod(services.issue_console_ticket)
