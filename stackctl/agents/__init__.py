"""The little that runs on hosts: each module is one file that needs nothing but Python's standard library."""
