"""What was done in a region."""

from apps.panels.audit import AuditList


class AuditPage(AuditList):
    panel = "cluster"
