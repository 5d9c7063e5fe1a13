"""Rules that find personal data in a text, one kind each; feedback/redaction.py puts them together.

Every rule takes a text whose full-width forms are plain already, and gives (start, end) in it.
"""
