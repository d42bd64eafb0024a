#!/usr/bin/env bash
# One would expect that the keypad's Enter reaches a program in tmux as the main one does, as a
# carriage return, since no terminal around it sends anything else for it in numeric mode. tmux
# (3.3a) sends a line feed instead, unless the program asks for application mode (DECKPAM): then it
# is ESC O M. A chat that tells Ctrl-J (break the line) from Enter (send it) by that very byte, and
# therefore clears ICRNL, would break the line at the keypad's Enter, in tmux only.
set -euo pipefail
folder=$(mktemp -d); trap 'TMUX_TMPDIR=$folder "$tmux" -L find kill-server 2>/dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"
apt-get download -qq tmux=3.3a-3 libevent-core-2.1-7 libutempter0 >/dev/null 2>&1
for package in *.deb; do dpkg -x "$package" .; done
tmux=$folder/usr/bin/tmux
export LD_LIBRARY_PATH=$(echo "$folder"/usr/lib/*-linux-gnu) TMUX_TMPDIR=$folder LC_ALL=C.UTF-8
"$tmux" -V
keypad() {  # what one press of the keypad's Enter is, after the program has written $1
  rm -f got ready
  "$tmux" -L find -f /dev/null new-session -d -s s \
    "stty raw -echo; printf '$1'; touch $folder/ready; dd bs=8 count=1 2>/dev/null >$folder/got; touch $folder/done"
  until [ -e ready ]; do sleep 0.05; done
  sleep 0.3
  "$tmux" -L find send-keys KPEnter
  until [ -e done ]; do sleep 0.05; done; rm -f done
  "$tmux" -L find kill-server 2>/dev/null || true
  od -An -tx1 got | tr -d ' \n'
}
numeric=$(keypad '\033>'); application=$(keypad '\033=')
echo "numeric mode: $numeric, application mode: $application"
[ "$numeric" = 0a ] && [ "$application" = 1b4f4d ]
