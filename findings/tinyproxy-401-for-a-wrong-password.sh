#!/usr/bin/env bash
# One would expect that a proxy that wants other credentials always says 407 (RFC 9110 15.5.8), as
# squid does, since 401 is the origin server's word. tinyproxy 1.11.1 says 407 only to who gives no
# credentials; to who gives wrong ones, in Proxy-Authorization, it says 401 with WWW-Authenticate,
# also for CONNECT. A client that knows "the proxy wants another password" by 407 alone tells its
# user in that case that the proxy refuses the server, and nobody looks at the password.
set -euo pipefail
folder=$(mktemp -d); trap 'kill $(cat "$folder/pid") 2>/dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"
apt-get download -qq tinyproxy-bin=1.11.1-2.1+deb12u1 >/dev/null 2>&1
dpkg -x tinyproxy-bin_*.deb .
usr/bin/tinyproxy -v
port=$(python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
mkdir -p usr/share/tinyproxy
cat >conf <<END
Port $port
Listen 127.0.0.1
PidFile "$folder/pid"
BasicAuth al right
DefaultErrorFile "$folder/error.html"
END
echo "{cause}" >error.html
usr/bin/tinyproxy -c conf 2>/dev/null
asked() {  # the status line and the challenge for a CONNECT with this header
  python3 - "$port" "$1" <<'END'
import socket, sys, time
for _ in range(100):
    try:
        sock = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
        break
    except OSError:
        time.sleep(0.05)
sock.sendall(f"CONNECT 127.0.0.1:9 HTTP/1.1\r\nHost: 127.0.0.1:9\r\n{sys.argv[2]}\r\n".encode())
data = b""
while part := sock.recv(4096):
    data += part
lines = data.split(b"\r\n\r\n")[0].decode().split("\r\n")
print(lines[0].split(" ")[1], *(line.split(":")[0] for line in lines if "uthenticate" in line))
END
}
none=$(asked "")
wrong=$(asked $'Proxy-Authorization: Basic YWw6d3Jvbmc=\r\n')
echo "no credentials: $none; wrong credentials: $wrong"
[ "$none" = "407 Proxy-Authenticate" ] && [ "$wrong" = "401 WWW-Authenticate" ]
