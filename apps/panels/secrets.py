"""Forms whose answer holds a secret: shown on the answer itself and never again; nobody caches it."""

from collections.abc import Sequence
from typing import Any

from django.http import HttpResponse, HttpResponseBase
from django.utils.translation import gettext as _

from apps.panels.account.recent import confirm_first
from apps.panels.kit import FormPage
from apps.panels.kit.blocks import Block


class SecretPage(FormPage):
    """`save` puts what was issued into `issued`; `revealed` says how it is shown. Who asks proves first who
    they are."""

    issued: Any = None
    secret_title: Any = ""

    def get(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponseBase:
        return confirm_first(request) or super().get(request, *args, **kwargs)

    def post(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponseBase:
        return confirm_first(request) or super().post(request, *args, **kwargs)

    def revealed(self) -> Sequence[Block]:
        """The blocks that show the secret."""
        raise NotImplementedError

    def answered(self, answer: Any) -> HttpResponseBase:
        if self.issued is None:
            return super().answered(answer)
        back = {"label": _("I have it"), "url": answer.body["url"], "icon": "check", "primary": True}
        shown = {"top": [], "main": self.revealed(), "aside": [], "links": [back], "title": self.secret_title}
        response: HttpResponse = self.render("kit/page.html", shown)
        response.headers["Cache-Control"] = "no-store"
        return response
