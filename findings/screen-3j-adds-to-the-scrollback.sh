#!/usr/bin/env bash
# GNU screen 4.9.0 (Debian 12): CSI 3 J, by which xterm, VTE, kitty, tmux and the Linux console forget
# their scrollback, is taken for CSI 0 J. So "ESC [ H  ESC [ 3 J", as ncurses' `clear` ends, does the
# opposite there: with the cursor in the corner screen moves all that is seen INTO its scrollback, and
# what had scrolled away stays. One would expect it to be obeyed or ignored. Rows erased one by one
# (CSI 2 K) go nowhere. What a chat wants forgotten can only be pushed out of the history with rows
# that look empty. Guess before: ignored. Exits non-zero if screen behaves otherwise.
set -euo pipefail
version=4.9.0-4
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get download -qq "screen=$version" 2>/dev/null || { apt-get update -qq; apt-get download -qq "screen=$version"; }
dpkg -x screen_*.deb x
export SCREENDIR=$folder/sockets TERM=xterm
mkdir -m 700 "$SCREENDIR"
screen=$folder/x/usr/bin/screen
"$screen" -v || true

kept() { # what is kept, after a window has written $1: the rows of its scrollback and screen
    "$screen" -c /dev/null -dmS it sh -c "seq 1 50; printf '$1'; touch $folder/done; exec cat"
    until [ -e done ]; do sleep 0.1; done
    rm -f done copy
    for _ in $(seq 50); do
        "$screen" -S it -p 0 -X hardcopy -h "$folder/copy" >/dev/null
        sleep 0.2
        [ -s copy ] && break
    done
    "$screen" -S it -X quit >/dev/null
    cat copy
}

rows() { kept "$1" | grep -c '^[0-9]' || true; }

nothing=$(rows '')
home=$(rows '\033[H\033[3J')
elsewhere=$(rows '\033[2;1H\033[3J')
erased=$(rows "$(for row in $(seq 24); do printf '\\033[%d;1H\\033[2K' "$row"; done)")
echo "rows with a number that are kept, of 50 written on 24 rows:"
echo "  nothing sent                : $nothing"
echo "  3 J in the corner           : $home (and the screen is empty: all of it is history now)"
echo "  3 J one row lower           : $elsewhere (what is below the cursor is erased, no history)"
echo "  each row erased by 2 K      : $erased (what was seen is gone, the history stays)"
[ "$nothing" = 50 ] && [ "$home" = 50 ] && [ "$elsewhere" -lt 30 ] && [ "$elsewhere" -gt 25 ] && [ "$erased" = 27 ] ||
    { echo "screen behaves otherwise now"; exit 1; }
