"""A FastCGI peer for tests, straight on a responder's unix socket: well-behaved, or not at all."""

import socket
import struct

BEGIN, ABORT, END, PARAMS, STDIN, STDOUT, GET_VALUES = 1, 2, 3, 4, 5, 6, 9
RESPONDER, KEEP_CONN = 1, 1


def record(kind, content=b"", request_id=1, version=1, padding=0):
    return struct.pack(">BBHHBx", version, kind, request_id, len(content), padding) + content + b"\0" * padding


def begin(request_id=1, role=RESPONDER, flags=0):
    return record(BEGIN, struct.pack(">HB5x", role, flags), request_id)


def pairs(params):
    out = b""
    for name, value in params.items():
        for word in (name.encode(), value if isinstance(value, bytes) else value.encode()):
            out += struct.pack(">B", len(word)) if len(word) < 128 else struct.pack(">I", len(word) | 0x80000000)
        out += name.encode() + (value if isinstance(value, bytes) else value.encode())
    return out


def http_params(method, path, body=b"", **extra):
    return {"REQUEST_METHOD": method, "REQUEST_URI": path, "QUERY_STRING": path.partition("?")[2], "CONTENT_TYPE": "application/json",
            "CONTENT_LENGTH": str(len(body)), "SERVER_PROTOCOL": "HTTP/1.1", "REMOTE_ADDR": "127.0.0.1", **extra}


def request(method, path, body=b"", request_id=1, flags=0, **extra):
    """The bytes of a whole request."""
    out = begin(request_id, flags=flags) + record(PARAMS, pairs(http_params(method, path, body, **extra)), request_id) + record(PARAMS, b"", request_id)
    for at in range(0, len(body), 65000):
        out += record(STDIN, body[at:at + 65000], request_id)
    return out + record(STDIN, b"", request_id)


class Peer:
    """A connection to a responder."""

    def __init__(self, path, timeout=10):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(timeout)
        self.sock.connect(str(path))
        self.buffer = b""

    def send(self, data):
        self.sock.sendall(data)

    def _take(self, n):
        while len(self.buffer) < n:
            piece = self.sock.recv(65536)
            if not piece:
                raise EOFError
            self.buffer += piece
        taken, self.buffer = self.buffer[:n], self.buffer[n:]
        return taken

    def read_record(self):
        """(kind, request id, content); EOFError once the responder has closed."""
        _, kind, request_id, length, padding = struct.unpack(">BBHHBx", self._take(8))
        content = self._take(length)
        self._take(padding)
        return kind, request_id, content

    def read_answer(self):
        """(status, {header: [value, …]}, body) of one request."""
        out = b""
        while True:
            kind, _, content = self.read_record()
            if kind == STDOUT:
                out += content
            elif kind == END:
                break
        head, _, body = out.partition(b"\r\n\r\n")
        headers = {}
        for line in head.decode().split("\r\n"):
            name, _, value = line.partition(": ")
            headers.setdefault(name.lower(), []).append(value)
        return int(headers["status"][0].split()[0]), headers, body

    def closed(self):
        """Waits (within the timeout) until the responder closes; whatever it said before is thrown away."""
        try:
            while self.sock.recv(65536):
                pass
        except ConnectionResetError:
            pass
        return True

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def ask(path, method, address, body=b"", timeout=10, **extra):
    """One request and its answer on a connection of its own."""
    with Peer(path, timeout) as peer:
        peer.send(request(method, address, body, **extra))
        return peer.read_answer()
