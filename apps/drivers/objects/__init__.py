"""The object store: anything that speaks S3 (AWS, R2, MinIO, Ceph, rclone), reached by its endpoint."""

from apps.drivers.objects.config import StoreConfig
from apps.drivers.objects.errors import Missing
from apps.drivers.objects.store import Item, ObjectStore, Part, Upload, store_for

__all__ = ["Item", "Missing", "ObjectStore", "Part", "StoreConfig", "Upload", "store_for"]
