#!/usr/bin/env bash
# HPKE's hybrid KEM 0x647A: two libraries, one input, two key pairs.
#
# In HPKE (RFC 9180, 4) DeriveKeyPair is part of a KEM, so whoever keeps a seed and derives the key
# pair anew would expect the same pair from every library that implements the same code point.
# For 0x647A there are two texts: X-Wing (draft-connolly-cfrg-xwing-kem), where the private key is
# SHAKE256 of the input, and MLKEM768-X25519 of draft-ietf-hpke-pq, where it is derived with HPKE's
# labels. Both carry the same number, and their messages are the same: what one seals the other
# opens, once the 32 bytes of the private key are carried over. Only the derivation differs.
#
# Seen with @hpke/hybridkem-x-wing 0.7.0 and hpke 1.1.7 with @panva/hpke-noble 1.0.3, Node.js 20.
# For a chat: an identity made from a passphrase or a recovery seed must fix the derivation itself
# and keep the private key's bytes, or another client of the same protocol is another person.
# (Python's cryptography 50 sidesteps it: it offers no DeriveKeyPair for this KEM.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund \
    @hpke/core@1.9.0 @hpke/hybridkem-x-wing@0.7.0 hpke@1.1.7 @panva/hpke-noble@1.0.3

cat >seen.mjs <<'EOF'
import { createHash } from "node:crypto";
import { Aes128Gcm, CipherSuite, HkdfSha256 } from "@hpke/core";
import { XWing } from "@hpke/hybridkem-x-wing";
import * as other from "hpke";
import * as noble from "@panva/hpke-noble";

const short = (bytes) => createHash("sha256").update(new Uint8Array(bytes)).digest("hex").slice(0, 16);
const input = new Uint8Array(32).fill(7);
const one = new CipherSuite({ kem: new XWing(), kdf: new HkdfSha256(), aead: new Aes128Gcm() });
const two = new other.CipherSuite(
  noble.KEM_MLKEM768_X25519, noble.KDF_HKDF_SHA256, other.AEAD_AES_128_GCM);
console.log("KEM numbers:", one.kem.id.toString(16), two.KEM.id.toString(16));

const first = await one.kem.deriveKeyPair(input.buffer.slice(0));
const second = await two.DeriveKeyPair(input, true);
const privateOne = await one.kem.serializePrivateKey(first.privateKey);
console.log("public key of the first: ", short(await one.kem.serializePublicKey(first.publicKey)));
console.log("public key of the second:", short(await two.SerializePublicKey(second.publicKey)));
const shake = createHash("shake256", { outputLength: 32 }).update(input).digest();
console.log("first's private key is SHAKE256 of the input:", shake.equals(Buffer.from(privateOne)));

const text = new TextEncoder().encode("same messages");
const sealed = await one.seal({ recipientPublicKey: first.publicKey }, text);
const carried = await two.DeserializePrivateKey(new Uint8Array(privateOne), false);
const opened = await two.Open(carried, new Uint8Array(sealed.enc), new Uint8Array(sealed.ct));
console.log("sealed by the first, opened by the second with its bytes:", new TextDecoder().decode(opened));
EOF
node seen.mjs | tee seen.txt
diff - seen.txt <<'EOF'
KEM numbers: 647a 647a
public key of the first:  b001bc3f5685c183
public key of the second: e81b9a08d54218ef
first's private key is SHAKE256 of the input: true
sealed by the first, opened by the second with its bytes: same messages
EOF
echo "as it was: one number, two key pairs"
