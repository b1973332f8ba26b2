"""Asks by http.client what it is told on stdin, a method and a path on each line, and writes each answer to stdout. A line behind it says
how many connections it has opened, from which port it asks, and the status."""

import http.client
import ssl
import sys

address, roots, upload = sys.argv[1:]


class Connection(http.client.HTTPSConnection):
    opened = 0

    def connect(self):
        super().connect()
        self.opened += 1


context = ssl.create_default_context(cafile=roots)
context.minimum_version = ssl.TLSVersion.TLSv1_3
connection = Connection(address, context=context, timeout=60)
connection.connect()
socket = connection.sock
for line in sys.stdin:
    method, path = line.split()
    connection.request(method, path, upload if method == "POST" else None)
    answer = connection.getresponse()
    body = answer.read()
    if connection.sock is not socket:
        sys.exit("the connection has another socket")
    sys.stdout.buffer.write(body + b"%d %d %d\n" % (connection.opened, socket.getsockname()[1], answer.status))
    sys.stdout.buffer.flush()
