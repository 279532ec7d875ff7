"""The panel kit: what the pages of all three panels are declared with. See docs/panels.md."""

from apps.panels.kit import cells
from apps.panels.kit.actions import Action
from apps.panels.kit.blocks import (
    Chart,
    Code,
    Copies,
    Events,
    Facts,
    Happened,
    Html,
    InlineForm,
    Kpi,
    Kpis,
    Note,
    Series,
    Shares,
    Step,
    Steps,
    Table,
)
from apps.panels.kit.columns import Column, Empty, Filter, Link, SavedView, moment, money
from apps.panels.kit.detail import Detail, Tab
from apps.panels.kit.forms import FormPage, Section
from apps.panels.kit.page import Page
from apps.panels.kit.resource import Resource
from apps.panels.kit.views import PanelView

__all__ = [
    "Action", "Chart", "Code", "Column", "Copies", "Detail", "Empty", "Events", "Facts", "Filter", "FormPage",
    "Happened", "Html", "InlineForm", "Kpi", "Kpis", "Link", "Note", "Page", "PanelView", "Resource",
    "SavedView", "Section", "Series", "Shares", "Step", "Steps", "Tab", "Table", "cells", "moment", "money",
]  # fmt: skip
