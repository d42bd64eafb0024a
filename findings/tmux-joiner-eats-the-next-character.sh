#!/usr/bin/env bash
# tmux 3.3a: a zero width joiner at the end of a line makes the next line lose its first character,
# if that is not ASCII.
#
# A joiner (U+200D) with nothing behind it is harmless text: in Hindi, a message that ends in a
# consonant with its half form asked for ends in one; a long emoji sequence that is cut ends in one.
# The guess: it takes no column, is kept in its cell, and what is written next, on another line, is
# not touched. What happens: tmux waits for what the joiner is to join, and takes the next character
# that is written for it, wherever the cursor has been moved meanwhile. Behind CR LF that character
# is not shown at all; behind a cursor move it is shown, but the joiner is put into the cell left of
# it, which belongs to somebody else.
#
# For a terminal chat: the first character of a line is what tells who speaks, and a message's last
# character takes it away. So no line, and nothing that the cursor is moved behind, may end in one.
set -euo pipefail
folder=$(mktemp -d)
trap 'for socket in "$folder"/socket*; do tmux -S "$socket" kill-server 2>/dev/null || true; done
rm -rf "$folder"' EXIT
cd "$folder"
if apt-get download tmux=3.3a-3 libevent-core-2.1-7 libutempter0 >/dev/null 2>&1; then
    for package in ./*.deb; do dpkg -x "$package" root; done
    lib="$folder/root/usr/lib/$(dpkg-architecture -q DEB_HOST_MULTIARCH 2>/dev/null || echo x86_64-linux-gnu)"
    tmux() { LD_LIBRARY_PATH="$lib" "$folder/root/usr/bin/tmux" "$@"; }
fi
export LC_ALL=C.UTF-8
tmux -V

# shows NAME TEXT: the two rows that a pane shows of it, dots for blanks.
shows() {
    tmux -u -S "$folder/socket-$1" -f /dev/null new-session -d -x 20 -y 3 \
        "sleep 0.5; printf '$2'; touch '$folder/done-$1'; exec sleep 60"
    for _ in $(seq 100); do [ -e "$folder/done-$1" ] && break; sleep 0.05; done
    sleep 0.3
    tmux -S "$folder/socket-$1" capture-pane -p | head -2 | tr ' ' .
}

joiner='\342\200\215'
bar='\342\226\214'
ka='\340\244\225\340\245\215'
# It waits only where it reads both at once, which the machine's load decides: several tries.
seen=no
for try in 1 2 3 4 5 6 7 8; do
    without=$(shows "one-$try" "bob: $ka\\r\\n${bar}eve: hi")
    grep -q '^▌eve:' <<<"$without" || { echo "the line without a joiner is not as it was seen"; exit 1; }
    with=$(shows "two-$try" "bob: $ka$joiner\\r\\n${bar}eve: hi")
    if grep -q '^eve:' <<<"$with"; then seen=yes; break; fi
done
echo "without a joiner:"; echo "$without"
echo "with one:"; echo "$with"
[ "$seen" = yes ] || { echo "the behaviour has changed"; exit 1; }
echo "as seen: the next line's first character is gone"
