#!/usr/bin/env bash
# xterm.js: with the grapheme add-on, every wide character above U+FFFF takes one column.
#
# The add-on that teaches xterm.js grapheme clusters brings tables of Unicode 15, so one would expect
# more characters to be two columns wide than with the older unicode11 add-on, not fewer.  Its
# clusters are right for what lies in the first plane (heart, keycap and Thai come out as one expects
# of clusters), but a plain emoji such as U+1F600, and a Chinese character of the second plane,
# U+20000, advance the cursor by one column, and a joined family by three.  So text that was laid out
# for two overlaps, and the same program looks right again without the add-on's newer tables.
#
# Seen with @xterm/headless 6.0.0, @xterm/addon-unicode-graphemes 0.4.0 and @xterm/addon-unicode11
# 0.9.0 on Node.js 20.  For a terminal chat: the width of an emoji is not even settled between two
# add-ons of one terminal, so columns must be set by cursor moves and never by counting.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund \
    @xterm/headless@6.0.0 @xterm/addon-unicode-graphemes@0.4.0 @xterm/addon-unicode11@0.9.0

cat >seen.mjs <<'EOF'
import xterm from "@xterm/headless";
import graphemes from "@xterm/addon-unicode-graphemes";
import eleven from "@xterm/addon-unicode11";

function columns(version, text) {
  return new Promise((resolve) => {
    const terminal = new xterm.Terminal({ cols: 80, rows: 4, allowProposedApi: true });
    terminal.loadAddon(new eleven.Unicode11Addon());
    terminal.loadAddon(new graphemes.UnicodeGraphemesAddon());
    terminal.unicode.activeVersion = version;
    terminal.write(text, () => resolve(terminal.buffer.active.cursorX));
  });
}

const texts = {
  "U+2615 hot beverage": "\u2615", "U+4E00 Chinese": "\u4e00", "heart + VS16": "\u2764\ufe0f",
  "Thai sara am": "\u0e17\u0e33", "U+1F600 emoji": "\u{1f600}", "U+1F1E9 U+1F1EA flag": "\u{1f1e9}\u{1f1ea}",
  "U+20000 Chinese": "\u{20000}", "family, joined": "\u{1f468}\u200d\u{1f469}\u200d\u{1f467}",
};
for (const [name, text] of Object.entries(texts)) {
  const found = [];
  for (const version of ["11", "15", "15-graphemes"]) found.push(await columns(version, text));
  console.log(name.padEnd(24), found.join(" "));
}
let narrow = 0;
for (let point = 0x1f300; point < 0x1f650; point++)
  narrow += (await columns("15-graphemes", String.fromCodePoint(point))) === 1;
console.log("of U+1F300 to U+1F64F in one column with graphemes:", narrow);
EOF
echo "columns with:            unicode 11, 15, 15 with graphemes"
node seen.mjs | tee seen.txt
diff - seen.txt <<'EOF'
U+2615 hot beverage      2 2 2
U+4E00 Chinese           2 2 2
heart + VS16             1 3 2
Thai sara am             2 2 1
U+1F600 emoji            2 1 1
U+1F1E9 U+1F1EA flag     2 2 2
U+20000 Chinese          2 1 1
family, joined           6 5 3
of U+1F300 to U+1F64F in one column with graphemes: 848
EOF
echo "as it was: one column above U+FFFF"
