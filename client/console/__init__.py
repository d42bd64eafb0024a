"""Everything that a person sees of the client, or a program reads from it.

Events go in, text comes out. ``layout``, ``folding``, ``minimal``, ``rich`` and ``json`` turn an
event into lines and know no terminal; ``keys``, ``lines`` and ``typed`` turn bytes into the
line being typed and know no file; ``widths`` knows how many columns text takes. ``screen`` is
the only place that writes to standard output, from one thread; ``reading`` alone reads the
keyboard or a pipe, and ``terminal`` changes the settings of a terminal. ``start`` puts them
together.
"""
