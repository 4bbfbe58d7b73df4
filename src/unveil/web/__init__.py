"""The page for people and the HTTP interface for programs, both in front of one queue."""
