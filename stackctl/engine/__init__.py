"""The only way to hosts: declare, evaluate, fetch, execute. Importing it imports nothing heavy."""
