"""A copy of the database at another place, from which an empty one is rebuilt at its next start."""
