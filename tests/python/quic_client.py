"""A QUIC client that shares no line with ours (aioquic): says hello to a relay as chat-core/WIRE.md has it, and says in one
line of JSON what became of it.

    quic_client.py HOST PORT --alpn NAME [--certificate PEM --key PEM] [--ca PEM --server-name NAME]
"""

import argparse
import asyncio
import json
import ssl

from aioquic.asyncio import QuicConnectionProtocol
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import ConnectionTerminated, HandshakeCompleted, StreamDataReceived
from aioquic.quic.packet import QuicProtocolVersion

# As `transports/quic` begins its main stream; then frames, each behind its length. In this one, `Hello` of version 1.
OPENING = b"\x01"
HELLO = bytes.fromhex("82008101")
PREFIX_BYTES = 4
PATIENCE_SECONDS = 20


class Client(QuicConnectionProtocol):
    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named)
        self.said = {"alpn": None, "early_data": None, "tickets": 0, "first_frame": None, "closed": None}
        self.over = asyncio.get_running_loop().create_future()
        self.received = b""

    def quic_event_received(self, event):
        if isinstance(event, HandshakeCompleted):
            self.said["alpn"] = event.alpn_protocol
            self.said["early_data"] = event.early_data_accepted
            stream = self._quic.get_next_available_stream_id()
            frame = len(HELLO).to_bytes(PREFIX_BYTES, "big") + HELLO
            self._quic.send_stream_data(stream, OPENING + frame)
            self.transmit()
        elif isinstance(event, StreamDataReceived):
            self.received += event.data
            length = int.from_bytes(self.received[:PREFIX_BYTES], "big")
            if len(self.received) >= PREFIX_BYTES + length:
                self.said["first_frame"] = self.received[PREFIX_BYTES:][:length].hex()
                self.end()
        elif isinstance(event, ConnectionTerminated):
            self.said["closed"] = {"code": event.error_code, "reason": event.reason_phrase}
            self.end()

    def end(self):
        if not self.over.done():
            self.over.set_result(None)


async def main(arguments):
    configuration = QuicConfiguration(
        is_client=True,
        alpn_protocols=arguments.alpn,
        # Without an authority, whoever is there: a relay's own certificate is of its identity.
        verify_mode=ssl.CERT_REQUIRED if arguments.ca else ssl.CERT_NONE,
        cafile=arguments.ca,
        server_name=arguments.server_name or "chat.invalid",
        supported_versions=[QuicProtocolVersion.VERSION_1],
    )
    if arguments.certificate:
        configuration.load_cert_chain(arguments.certificate, arguments.key)

    def ticket(_):
        client.said["tickets"] += 1

    connection = QuicConnection(configuration=configuration, session_ticket_handler=ticket)
    transport, client = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: Client(connection), local_addr=("127.0.0.1", 0)
    )
    client.connect((arguments.host, arguments.port))
    try:
        await asyncio.wait_for(client.over, PATIENCE_SECONDS)
    except asyncio.TimeoutError:
        client.said["closed"] = "nothing came"
    client.close()
    transport.close()
    print(json.dumps(client.said), flush=True)


parser = argparse.ArgumentParser()
parser.add_argument("host")
parser.add_argument("port", type=int)
parser.add_argument("--alpn", action="append")
parser.add_argument("--certificate")
parser.add_argument("--key")
parser.add_argument("--ca")
parser.add_argument("--server-name")
asyncio.run(main(parser.parse_args()))
