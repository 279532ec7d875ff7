"""Writes: instance types, images and GPU models."""

from apps.catalog.services.offers import (
    create_image,
    create_instance_type,
    create_model,
    describe_image,
    describe_instance_type,
    move_image,
    move_instance_type,
    replace_image,
    update_model,
)

__all__ = [
    "create_image",
    "create_instance_type",
    "create_model",
    "describe_image",
    "describe_instance_type",
    "move_image",
    "move_instance_type",
    "replace_image",
    "update_model",
]
