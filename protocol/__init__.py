"""What Underpaint's programs say to each other: types, codes and encodings.

Standard library and numpy only, and no I/O outside `client`. Everything may import this package; it
imports nothing of ours.
"""
