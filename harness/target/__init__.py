"""The reference service: to the harness, what a user's own is. Imports nothing else of the harness."""
