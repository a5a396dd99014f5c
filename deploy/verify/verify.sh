#!/usr/bin/env bash
# Is this webhook from Relay? bash, coreutils and OpenSSL 3. It is for trying out and for machines of your own: OpenSSL takes the secret
# as an argument, where every user of the machine can read it for a moment.
#
# KEY=whsec_… ./verify.sh ID TIMESTAMP SIGNATURES <body       KEY: the secret (whsec_…) or the public key (whpk_…)
set -euo pipefail

tolerance=300 # seconds
key=$KEY id=${1:-} timestamp=${2:-} signatures=${3:-}

refuse() {
  echo refused >&2
  exit 1
}

[[ -n $id && $timestamp =~ ^[0-9]{1,12}$ ]] || refuse
age=$(($(date +%s) - 10#$timestamp))
((age <= tolerance && -age <= tolerance)) || refuse

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
{ printf '%s.%s.' "$id" "$timestamp" && cat; } >"$folder/content"

# Two texts are compared by their digests with a salt, so that the time it takes tells nothing about them.
same() {
  local salt
  salt=$(openssl rand -hex 16)
  [[ $(openssl dgst -sha256 <<<"$salt$1") == "$(openssl dgst -sha256 <<<"$salt$2")" ]]
}

signed_by_secret() {
  local hex digest
  hex=$(base64 -d <<<"${key#whsec_}" | od -An -v -tx1 | tr -d ' \n')
  digest=$(openssl dgst -sha256 -mac HMAC -macopt "hexkey:$hex" -binary "$folder/content" | base64)
  same "v1,$digest" "$1"
}

signed_by_pair() {
  [[ $1 == v1a,* ]] || return 1
  base64 -d <<<"${1#v1a,}" >"$folder/signature" 2>/dev/null || return 1
  { printf '\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00' && base64 -d <<<"${key#whpk_}"; } >"$folder/key.der"
  openssl pkeyutl -verify -pubin -keyform DER -inkey "$folder/key.der" -rawin -in "$folder/content" \
    -sigfile "$folder/signature" >"$folder/said" 2>&1
}

check=signed_by_secret
[[ $key != whpk_* ]] || check=signed_by_pair
read -ra given <<<"$signatures"
for signature in "${given[@]}"; do
  ! "$check" "$signature" || exit 0
done
refuse
