"""What reconcilers of everything that lies in a region share: open drivers, and the way a pass goes."""

from apps.regions.reconcilers.drivers import any_driver_of, close_drivers, cluster_of, driver_of, engines_of
from apps.regions.reconcilers.passes import Pass, bring_due

__all__ = ["Pass", "any_driver_of", "bring_due", "close_drivers", "cluster_of", "driver_of", "engines_of"]
