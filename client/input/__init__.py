"""What a person types, or a program writes to the client: bytes in, lines and keys out.

``source`` says what all sources of lines promise; ``keyboard``, ``windows_keyboard`` and ``pipes``
are those. ``keys`` and ``key_sequences`` turn bytes into key presses, ``paste`` finds which of them
nobody has pressed, and ``editor``, ``edit_buffer`` and ``line_history`` make the line being typed
of them; these are pure. ``terminal``, ``modes`` and ``windows`` change the settings of a terminal,
and change them back.
"""
