"""Answers at port 7, over UDP and TCP, and at port 53 whatever is asked: `wan_echo.py ADDRESS…`."""

import selectors
import socket
import sys


def _udp(selector: selectors.BaseSelector, address: str, port: int) -> None:
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    opened.bind((address, port))

    def answer() -> None:
        packet, whom = opened.recvfrom(2048)
        opened.sendto(packet, whom)

    selector.register(opened, selectors.EVENT_READ, answer)


def _tcp(selector: selectors.BaseSelector, address: str) -> None:
    door = socket.create_server((address, 7))

    def serve(caller: socket.socket) -> None:
        try:
            if data := caller.recv(2048):
                caller.sendall(data)
                return
        except OSError:
            pass
        selector.unregister(caller)
        caller.close()

    def accept() -> None:
        caller = door.accept()[0]
        selector.register(caller, selectors.EVENT_READ, lambda: serve(caller))

    selector.register(door, selectors.EVENT_READ, accept)


def main() -> None:
    with selectors.DefaultSelector() as selector:
        for address in sys.argv[1:]:
            _udp(selector, address, 7)
            _udp(selector, address, 53)
            _tcp(selector, address)
        while True:
            for key, _ in selector.select():
                key.data()


if __name__ == "__main__":
    main()
