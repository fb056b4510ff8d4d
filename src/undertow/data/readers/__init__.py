"""One file for each format: `read(path, **options)` gives a `Recording`, or trials where the file holds counts already.

Each reader is the one door of its format's library and is imported only when a file of that format is met;
none knows of another. Begin reading at `phy.py`, the shortest; the table of formats is in `..loading`.
"""
