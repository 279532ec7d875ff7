"""The APIs: who each is for, and where its addresses are."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Audience:
    """`older` names the addresses outside of the prefix, from the root, that other systems' clients know."""

    name: str
    title: str
    about: str
    urlconf: str
    older: str = ""

    @property
    def prefix(self) -> str:
        return f"api/{self.name}/v1/"

    @property
    def docs_url(self) -> str:
        return f"/{self.prefix}docs"


AUDIENCES = (
    Audience(
        "user",
        "hostedai User API",
        "For customers and their programs: machines, keys, usage and bills of one team.",
        "apps.api.user.v1.urls",
        "apps.api.user.v1.older",
    ),
    Audience(
        "admin",
        "hostedai Admin API",
        "For the platform's staff: regions, supply, prices, teams and people everywhere.",
        "apps.api.admin.v1.urls",
        "apps.api.admin.v1.older",
    ),
    Audience(
        "cluster",
        "hostedai Cluster API",
        "For the staff of a region: its nodes, GPUs, machines and operations.",
        "apps.api.cluster.v1.urls",
    ),
    Audience(
        "agent",
        "hostedai Agent API",
        "For the node agent: a host registers once and then reports itself every ten seconds.",
        "apps.api.agent.v1.urls",
        "apps.api.agent.v1.older",
    ),
)
