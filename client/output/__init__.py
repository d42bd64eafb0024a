"""Events as text: for people, on any terminal or none, and for programs.

``screen`` is the only place that writes to standard output, from one thread, what ``screen_queue``
has for it; ``line_screen`` writes one line below the other. ``text`` gives events their words,
``lines`` and ``json`` make lines of them, ``wrapping`` cuts those to a width, ``widths`` knows how
many columns a text takes, and ``input_line`` keeps the line being typed whole below them; these
know no terminal.
"""
