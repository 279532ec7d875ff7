"""The catalogue in the Admin panel: instance types, images and GPU models."""
