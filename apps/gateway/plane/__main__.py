"""Started by the steward."""

from apps.gateway.plane.worker import main

main()
