"""Pages of blocks: an overview has a main column and one beside it."""

from collections.abc import Sequence
from typing import Any, ClassVar

from django.http import HttpResponse, HttpResponseBase

from apps.panels.kit import actions
from apps.panels.kit.actions import Action
from apps.panels.kit.blocks import Block
from apps.panels.kit.columns import Link
from apps.panels.kit.views import PanelView


class Page(PanelView):
    """A page made of blocks. `top` stands above both columns."""

    links: ClassVar[Sequence[Link]] = ()
    actions: ClassVar[Sequence[Action]] = ()
    intro: ClassVar[Any] = ""
    live: ClassVar[str] = ""
    every: ClassVar[int] = 0  # seconds after which it asks anew, for what no event tells of

    def top(self) -> Sequence[Block]:
        return ()

    def main(self) -> Sequence[Block]:
        return ()

    def aside(self) -> Sequence[Block]:
        return ()

    def targets(self, ids: Sequence[str]) -> list[Any]:
        """The objects that buttons on this page act on; within scope."""
        return []

    def get(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponseBase:
        return self.render("kit/page.html", self.context())

    def post(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        return actions.perform(self, self.actions)

    def context(self) -> dict[str, Any]:
        columns = [list(self.top()), list(self.main()), list(self.aside())]
        return {"top": columns[0], "main": columns[1], "aside": columns[2], "scripts": scripts_of(*columns)}


def scripts_of(*columns: Sequence[Block]) -> list[str]:
    """The scripts that the blocks need, each once."""
    found: dict[str, None] = {}
    for column in columns:
        for block in column:
            found |= dict.fromkeys(getattr(block, "scripts", ()))
    return list(found)
