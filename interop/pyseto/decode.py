"""Verifies the token on stdin with the k3.public key in argv[1]; prints payload, footer and PASERK key id as JSON."""

import json
import sys

import pyseto

key = pyseto.Key.from_paserk(sys.argv[1])
token = pyseto.decode(key, sys.stdin.read().strip(), deserializer=json)
print(json.dumps({"payload": token.payload, "footer": token.footer, "id": key.to_paserk_id()}))
