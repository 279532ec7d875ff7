"""How prices are reckoned, how often fees come, what budgets do, and what may become of usage set aside."""

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _

from apps.core.states import Machine


class FeePeriod(TextChoices):
    ONCE = "once", _("Once")
    MONTH = "month", _("Every month")


class PriceModel(TextChoices):
    UNIT = "unit", _("Per unit")
    GRADUATED = "graduated", _("Graduated")
    VOLUME = "volume", _("By volume")
    PACKAGE = "package", _("By package")


class QuarantineState(TextChoices):
    OPEN = "open", _("Open")
    RELEASED = "released", _("Released")
    DISCARDED = "discarded", _("Discarded")


class QuarantineReason(TextChoices):
    CONFLICT = "conflict", _("Other content under a known id")
    MALFORMED = "malformed", _("Cannot be read")
    UNKNOWN_METER = "unknown_meter", _("Unknown meter")
    UNKNOWN_TEAM = "unknown_team", _("Unknown team")
    QUANTITY = "quantity", _("Impossible quantity")
    TIME = "time", _("Outside the accepted time")
    CURRENCY = "currency", _("Other currency than the team's")
    AMOUNT = "amount", _("Amount does not follow from the price")
    NO_PRICE = "no_price", _("No price")


QUARANTINE = Machine.of(
    ("release", {QuarantineState.OPEN}, QuarantineState.RELEASED),
    ("discard", {QuarantineState.OPEN}, QuarantineState.DISCARDED),
)


class BudgetLevel(TextChoices):
    """Whose spending a budget counts."""

    TEAM = "team", _("The whole team")
    WORKSPACE = "workspace", _("Workspace")
    USER = "user", _("Person")
    KEY = "key", _("API key")


class BudgetPeriod(TextChoices):
    DAY = "day", _("Day")
    MONTH = "month", _("Month")


class BudgetAction(TextChoices):
    """What a budget does beside telling: nothing, refuse what is new, or also stop what runs."""

    NOTIFY = "notify", _("Tell only")
    BLOCK = "block", _("Refuse new")
    STOP = "stop", _("Stop what runs")


class NoticeKind(TextChoices):
    """What a team is told when its balance runs out, in order."""

    SHORT = "short", _("The balance has run out")
    SUSPENDED = "suspended", _("Suspended")
    DATA_DUE = "data_due", _("Data need not be kept")
    RESUMED = "resumed", _("Active again")
