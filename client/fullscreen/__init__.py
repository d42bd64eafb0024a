"""The full-screen view: a fold of events, a picture of it, and the difference to the last one.

``scrollback`` keeps what was said, ``entry_text`` gives an event its words, ``model`` folds
events together, ``columns``, ``header``, ``prompt``, ``scroll`` and ``view`` make lines of it,
and ``diff`` tells what to write so that a terminal shows them. All of that is pure;
``screen`` has the terminal.
"""
