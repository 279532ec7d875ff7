"""What is being done and was done in a workspace."""

from django.utils.translation import gettext_lazy as _

from apps.panels import operations


class Activity(operations.OperationList):
    panel = "console"
    title = _("Activity")


class OperationPage(operations.OperationDetail):
    panel = "console"
    list_route = "activity"
