"""What the outbox is told of endpoints and replicas, and what their operations are about."""

from apps.inference.models import Endpoint, Replica
from apps.operations.specs import Happening, Target

RECONCILE = "inference.reconcile"
STEER = "inference.steer"


def target_of(endpoint: Endpoint) -> Target:
    return Target(
        "endpoint",
        str(endpoint.pk),
        endpoint.slug,
        team_id=endpoint.team_id,
        workspace_id=endpoint.workspace_id,
        region_id=endpoint.region_id,
    )


def of_endpoint(endpoint: Endpoint, event: str, before: str = "", **more: object) -> Happening:
    about: dict[str, object] = {
        "name": endpoint.slug,
        "state": str(endpoint.state),
        "wanted": endpoint.wanted,
        "workspace": endpoint.workspace_id,
        **more,
    }
    if before:
        about["before"] = str(before)
    if endpoint.message:
        about["message"] = endpoint.message
    return Happening(event, str(endpoint.pk), endpoint.team_id, endpoint.region_id, about)


def of_replica(replica: Replica, event: str, before: str = "") -> Happening:
    """Its subject is the endpoint: so a page about one hears of its replicas."""
    about: dict[str, object] = {"replica": str(replica.pk), "state": str(replica.state)}
    if before:
        about["before"] = str(before)
    if replica.message:
        about["message"] = replica.message
    return Happening(event, replica.endpoint_id, replica.team_id, replica.region_id, about)
