# SPDX-License-Identifier: MIT
"""door: a TCP port that leads to another one, and that a test opens and shuts: what a firewall does to a port."""
import contextlib
import socket
import threading


class Door:
    """
    Door((host, port), (host, port) behind it). Shut (as at first), who comes is refused; shutting it cuts what is open.
    Blind, nobody is answered at all.
    """

    def __init__(self, at, to):
        self.at, self.to = at, to
        self.server, self.socks, self.threads = None, set(), []
        self.blind = []  # what fills its queue

    def open(self):
        self.server = socket.create_server(self.at)
        self._run(self._accept, self.server)

    def be_blind(self):
        """As behind a firewall that drops what comes: a full listen queue lets nobody in."""
        self.server = socket.create_server(self.at, backlog=0)
        for _ in range(2):
            self.blind.append(socket.socket())
            self.blind[-1].setblocking(False)
            self.blind[-1].connect_ex(self.at)

    def shut(self):
        if self.server is None:
            return
        self.server.shutdown(socket.SHUT_RDWR)  # wakes accept()
        self.server.close()
        self.server = None
        while self.blind:
            self.blind.pop().close()
        for s in list(self.socks):
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)
        for t in self.threads:
            t.join()
        self.threads.clear()

    def _run(self, what, *args):
        self.threads.append(threading.Thread(target=what, args=args))
        self.threads[-1].start()

    def _accept(self, server):
        while True:
            try:
                sock, _ = server.accept()
            except OSError:
                return
            self._run(self._carry, sock)

    def _carry(self, sock):
        with contextlib.suppress(OSError), sock, socket.create_connection(self.to) as beyond:
            self.socks |= {sock, beyond}
            back = threading.Thread(target=self._pump, args=(beyond, sock))
            back.start()
            self._pump(sock, beyond)
            back.join()
            self.socks -= {sock, beyond}

    def _pump(self, a, b):
        with contextlib.suppress(OSError):
            while data := a.recv(1 << 18):
                b.sendall(data)
        for s in (a, b):
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)
