"""One PIV session by hand, with pyscard: prints what it saw as JSON."""

import json

from smartcard.CardConnection import CardConnection
from smartcard.Exceptions import CardConnectionException
from smartcard.ExclusiveConnectCardConnection import ExclusiveConnectCardConnection
from smartcard.ExclusiveTransmitCardConnection import ExclusiveTransmitCardConnection
from smartcard.scard import SCARD_ATTR_VENDOR_NAME
from smartcard.System import readers
from smartcard.util import toHexString

SELECT = [0x00, 0xA4, 0x04, 0x00, 0x05, 0xA0, 0x00, 0x00, 0x03, 0x08]
VERSION = [0x00, 0xFD, 0x00, 0x00]

(reader,) = readers()
connection = ExclusiveTransmitCardConnection(reader.createConnection())
connection.connect(CardConnection.T1_protocol)
connection.lock()
selected, sw1, sw2 = connection.transmit(SELECT)
version, _, _ = connection.transmit(VERSION)
connection.unlock()
seen = {
    "reader": str(reader),
    "atr": toHexString(connection.getATR()),
    "selected": toHexString(selected),
    "status": toHexString([sw1, sw2]),
    "version": toHexString(version),
    "vendor": bytes(connection.getAttrib(SCARD_ATTR_VENDOR_NAME)).decode().rstrip("\0"),
}
try:
    ExclusiveConnectCardConnection(reader.createConnection()).connect()
except CardConnectionException as refusal:
    seen["exclusive"] = str(refusal)
connection.disconnect()
connection.release()

alone = ExclusiveConnectCardConnection(reader.createConnection())
alone.connect()
seen["alone"] = toHexString(alone.transmit(SELECT)[0])
alone.disconnect()
alone.release()
print(json.dumps(seen))
