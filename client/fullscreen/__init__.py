"""The full-screen view: a fold of events, a picture of it, and the difference to the last one.

``scrollback`` keeps what was said, ``entry_text`` and ``own_lines`` give it its words, ``repeats``
counts what comes again, ``connection_status`` knows what the connection is like, and ``model``
folds events into these. ``finder`` looks for text in it. ``columns``, ``header``, ``prompt``,
``scroll`` and ``view`` make lines of it, ``bare`` lines to copy from; ``diff`` finds the cells that
differ, and ``canvas`` what to write so that a terminal shows them. All of that is pure; ``screen``
has the terminal.
"""
