"""Everything that talks to what really runs machines; knows nothing of Django or of the portal's rows."""
