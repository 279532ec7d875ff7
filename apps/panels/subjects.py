"""Where the page of an object is, by its id alone: ids name their kind."""

from django.urls import NoReverseMatch

from apps.panels.kit.places import Place

# Kinds that are never quite gone, so that what was written about them long ago leads somewhere.
ROUTES = {
    "clu": "cluster",
    "end": "endpoint",
    "gpu": "gpu",
    "ins": "instance",
    "inv": "invoice",
    "irn": "invoice-run",
    "mdl": "model",
    "mdv": "model-version",
    "node": "node",
    "op": "operation",
    "pay": "payment",
    "pool": "gpu-pool",
    "reg": "region",
    "team": "team",
    "usr": "user",
    "vou": "voucher",
}


def page_of(place: Place, subject: str) -> str:
    """The address in this panel; nothing when the panel has no such page."""
    route = ROUTES.get(subject.partition("_")[0])
    try:
        return place.url(route, pk=subject) if route else ""
    except NoReverseMatch:
        return ""
