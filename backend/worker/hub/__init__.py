"""The Hugging Face hub: what a repository holds, which of its files are needed, and how they get here.

The session, the addresses, the token and the errors are those of huggingface_hub's client, and so is the layout of the
cache. The bytes are fetched here: that client starts every file anew (since 2.0 it writes to a name of its own each
time and deletes what is there of a file when it stops), can't be stopped while it waits, and leaves checking to others.
"""
