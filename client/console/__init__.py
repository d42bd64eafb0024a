"""Everything that a person sees of the client, or a program reads from it.

Events go in, text comes out. ``layout``, ``folding``, ``minimal`` and ``json`` turn an event
into lines and know no terminal. The full-screen view is pure as well: ``entries`` keeps what
was said, ``body`` gives an event its words, ``model`` folds events together, ``columns``,
``header``, ``prompt``, ``scrolling`` and ``view`` make lines of it, and ``canvas`` tells what
to write so that a screen shows them. ``keys``, ``lines`` and ``typed`` turn bytes into the line
being typed and know no file; ``widths`` knows how many columns text takes.

``drawing`` is the only place that writes to standard output, from one thread, as ``screen``
line by line or as ``fullscreen``; ``reading`` and ``pipes`` alone read, and ``terminal`` changes
the settings of a terminal. ``start`` puts them together.
"""
